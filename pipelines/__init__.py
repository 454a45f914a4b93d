"""Kubeflow pipelines built from the components."""

__all__ = ["PIPELINES"]

PIPELINES = {
    "release": "Images and a table become a text-to-image model, evaluated, registered and decided upon.",
    "merge": "Several collections of images become one dataset, each checked, then the whole.",
}
"""The pipelines by name, and what each does. The module of that name in this package holds it as ``PIPELINE``."""
