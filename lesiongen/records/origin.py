"""The ``origin`` of a dataset's manifest: how the dataset was made, and of what."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue

from lesiongen.records.base import Count, Record

__all__ = [
    "CaptionOrigin",
    "FoldOrigin",
    "IngestOrigin",
    "KeptFile",
    "LeaveOutOrigin",
    "MergeOrigin",
    "MergedDataset",
    "Origin",
    "OtherOrigin",
    "ReconstructOrigin",
    "SampleOrigin",
    "SelectOrigin",
]


class KeptFile(Record):
    """A document beside the shards (near-duplicate pairs, examinations): its SHA-256 and what it holds."""

    pairs: Count = None
    """Number of near-duplicate pairs in it."""
    images: Count = None
    """Number of images in it: in a part of a dataset, those of the whole."""
    sha256: str = ""


class MergedDataset(Record):
    """One of the datasets that were merged, or compared."""

    name: str = ""
    """Its own name, with the begin of its version where another one has the same name."""
    uri: str = ""
    version: str = ""
    rows: int = 0
    licence: str | None = None


class _Origin(Record):
    """What the origins of all stages have in common: a field that was not set is not stored."""

    def content(self) -> dict[str, Any]:
        """Returns the origin as it is stored in the manifest."""
        return self.model_dump(mode="json", exclude_unset=True)

    def whole(self) -> Self:
        """Returns the origin of the whole dataset that a dataset with this origin is a part of."""
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set - {"part"}})


class IngestOrigin(_Origin):
    """The dataset was read from a collection."""

    stage: Literal["ingest"]
    source: str = ""
    """Address of the collection."""
    config: dict[str, JsonValue] = {}
    removed_metadata: dict[str, int] = {}
    """Number of images from whose files metadata that could identify a person were removed, by kind."""
    notes: tuple[str, ...] = ()
    """What a user should know of the source and of how it was read, in sentences."""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class MergeOrigin(_Origin):
    """The dataset was merged from several datasets."""

    stage: Literal["merge"]
    config: dict[str, JsonValue] = {}
    datasets: tuple[MergedDataset, ...] = ()
    licence_conflicts: tuple[str, ...] = ()
    """Why the whole may not be handed on, in sentences."""
    sources: dict[str, dict[str, int]] = {}
    """Number of images by source and split."""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class CaptionOrigin(_Origin):
    """The dataset has the images of another one, with captions."""

    stage: Literal["caption"]
    config: dict[str, JsonValue] = {}
    part: str | None = None
    """Which part of the whole it is, as ``2/4``."""
    dataset: str = ""
    """Address of the dataset that was captioned."""
    dataset_version: str = ""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class FoldOrigin(_Origin):
    """The dataset has the images of another one, divided anew: one fold is the test split."""

    stage: Literal["fold"]
    config: dict[str, JsonValue] = {}
    fold: Count = None
    """Which fold, from 1."""
    dataset: str = ""
    """Address of the dataset that was divided."""
    dataset_version: str = ""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class LeaveOutOrigin(_Origin):
    """The dataset has the images of another one; those that other datasets hold are in its split ``test``."""

    stage: Literal["leave-out"]
    others: tuple[MergedDataset, ...] = ()
    """The datasets that it was compared with."""
    left_out: dict[str, Literal["id", "picture", "related"]] = {}
    """By image id what it shares with an image of theirs; ``related``: it is of the lesion of such an image."""
    dataset: str = ""
    """Address of the dataset that was compared."""
    dataset_version: str = ""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class SampleOrigin(_Origin):
    """The dataset was drawn by a generator."""

    stage: Literal["sample"]
    config: dict[str, JsonValue] = {}
    model: str = ""
    """Address of the generator."""
    captions: str | None = None
    """Version of the dataset that the captions are from; None where none was given."""
    model_version: str | None = None
    part: str | None = None
    """Which part of the whole it is, as ``2/4``."""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class ReconstructOrigin(_Origin):
    """The dataset holds the training images of another one as the autoencoder of a generator gives them back."""

    stage: Literal["reconstruct"]
    config: dict[str, JsonValue] = {}
    model: str = ""
    """Address of the generator."""
    model_version: str | None = None
    dataset: str = ""
    """Address of the dataset whose training images they are."""
    dataset_version: str = ""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class SelectOrigin(_Origin):
    """The dataset holds those synthetic images of one or several datasets that a selection has kept."""

    stage: Literal["select"]
    config: dict[str, JsonValue] = {}
    datasets: tuple[MergedDataset, ...] = ()
    model_version: str | None = None
    """The generator; None where it is not known, or the datasets are of several."""
    real: str = ""
    """Address of the real images whose training and validation splits the selection went by."""
    real_version: str = ""
    kept: dict[str, int] = {}
    """Number of images by diagnosis."""
    dropped: dict[str, int] = {}
    """Number of images that were left out, by diagnosis."""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


class OtherOrigin(_Origin):
    """The dataset was made by a program of somebody else, which may add fields of its own."""

    model_config = ConfigDict(extra="allow")

    stage: str | None = None
    model_version: str | None = None
    part: str | None = None
    dataset: str = ""
    dataset_version: str = ""
    near_duplicates: KeptFile | None = None
    examinations: KeptFile | None = None


Origin = Annotated[
    IngestOrigin
    | MergeOrigin
    | FoldOrigin
    | LeaveOutOrigin
    | CaptionOrigin
    | SampleOrigin
    | ReconstructOrigin
    | SelectOrigin
    | OtherOrigin,
    Field(union_mode="left_to_right"),
]
"""The origin of a dataset, by the stage that made it."""
