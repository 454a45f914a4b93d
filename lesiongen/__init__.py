"""LesionGen: from a small, unbalanced collection of skin images to a released text-to-image model."""

__version__ = "0.1.0"

__all__ = ["__version__"]
