"""What a reader may take as the class of an image: the taxonomy's, or a label as the source has it."""

__all__ = ["LABEL_CHOICES", "own_label"]

LABEL_CHOICES = "taxonomy, own: the class of the label in the taxonomy, or the source's own label"


def own_label(text: str) -> str:
    """Returns a source's label as a class of its own, in lower case and words (DDI writes hyphens)."""
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())
