"""What can be chosen about reading a collection."""

from difflib import get_close_matches
from typing import Literal

from pydantic import Field, field_validator

from lesiongen.config import StageConfig
from lesiongen.ingestion.formats import FORMATS
from lesiongen.names import Name

__all__ = ["IngestConfig", "formats_like"]


def formats_like(name: str) -> list[str]:
    """Returns all formats, those most like a misspelt name first."""
    formats = list(FORMATS)
    return list(dict.fromkeys([*get_close_matches(name.lower(), formats, cutoff=0.5), *formats]))


class IngestConfig(StageConfig):
    """Configuration of `lesiongen.ingest`.

    Attributes:
        format: Which reader understands the source.
        name: Name of the dataset; by default that of the source, without the ending of an archive.
        seed: Seed of the split, and of the draw where ``limit`` is given.
        split_fractions: Shares of train, validation and test.
        keep_official_split: Keep the split that the source's authors published, row by row.
        on_error: ``fail`` at any row that cannot be used, or ``reject`` such rows and list them.
        max_rejected: Share of rejected rows above which the run fails, with ``on_error="reject"``.
        max_missing: Share of rows without an image above which the run fails, for collections that come as a table of
            links (fitzpatrick17k); elsewhere a row without an image is an error.
        limit: At most this many rows, drawn by the seed (tables are often sorted by class).
        unknown_diagnosis: ``reject`` labels outside the taxonomy, or ``keep`` them as they are.
        options: What the collection's reader lets one choose, ``{"images": "derm"}`` (``Reader.options``).
        columns: image_folder only: the table's own names of canonical columns, ``{"diagnosis": "label"}``.
        source_name: image_folder only: name of the collection.
        licence: image_folder only: licence of the images.
        attribution: image_folder only: whom to name.
    """

    format: str
    name: Name | None = None
    seed: int = 0
    split_fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    keep_official_split: bool = False
    on_error: Literal["fail", "reject"] = "fail"
    max_rejected: float = Field(default=0.05, ge=0, le=1)
    max_missing: float = Field(default=0.95, ge=0, le=1)
    limit: int | None = Field(default=None, ge=1)
    unknown_diagnosis: Literal["reject", "keep"] = "reject"
    options: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    source_name: str | None = None
    licence: str | None = None
    attribution: str | None = None

    @field_validator("format", mode="before")
    @classmethod
    def _is_known(cls, value: object) -> object:
        if not isinstance(value, str) or value not in FORMATS:
            raise ValueError(f"unknown format; formats are {', '.join(formats_like(str(value)))}")
        return value

    @field_validator("split_fractions")
    @classmethod
    def _sum_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or abs(sum(value) - 1) > 1e-6:
            raise ValueError("three shares (train, validation, test) that sum to 1 are needed")
        return value
