"""The networks that a user has named, by which images are measured."""

from lesiongen.records.base import Count, Record

__all__ = ["ExtractorSource", "ModelSource"]


class ModelSource(Record):
    """A model of the transformers library, and where it comes from."""

    model: str = ""
    """Its type in the transformers library, such as ``dinov2``."""
    source: str = ""
    """A folder, an address or a hub id."""
    revision: str | None = None
    """Commit of the hub repository."""
    licence: str | None = None
    """Licence of the weights as the folder states it; None where it does not."""
    files: dict[str, str] = {}
    """SHA-256 of the files with the weights."""


class ExtractorSource(ModelSource):
    """An image model, where it comes from, and how it is shown an image."""

    features: str = ""
    """``pooler_output``, or ``last_hidden_state[:, 0]``: the first token, where it has no trained pooling."""
    width: Count = None
    resample: str | None = None
    """How its image processor resizes, such as ``bicubic``; None where it does not."""
    size: dict[str, Count] = {}
    """To what size: ``shortest_edge``, or ``height`` and ``width``."""
    crop_size: dict[str, Count] = {}
    """The crop from the centre; empty where there is none."""
