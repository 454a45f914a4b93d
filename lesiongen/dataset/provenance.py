"""What the ``provenance`` column says of an image's origin."""

import json

__all__ = ["is_synthetic"]


def is_synthetic(provenance: object) -> bool:
    """Tells whether a provenance says that no patient is in the image.

    Args:
        provenance: A value of the ``provenance`` column: JSON text, or what stands for a missing one.
    """
    if not isinstance(provenance, str):
        return False
    try:
        content = json.loads(provenance)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("image_manipulation") == "synthetic"
