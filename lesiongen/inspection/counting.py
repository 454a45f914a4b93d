"""What a dataset holds, at a glance: counts from the metadata, and a few images of every class and split."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from lesiongen.dataset.age_bands import AGE_BANDS
from lesiongen.dataset.manifest import DatasetManifest
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import SPLITS
from lesiongen.dataset.subgroups import SUBGROUPS, subgroups_of
from lesiongen.imaging import ImageError, decode
from lesiongen.records.origin import MergeOrigin
from lesiongen.records.provenance import is_generated, is_synthetic
from lesiongen.seeds import derive_seed

__all__ = ["NOT_RECORDED", "Drawn", "Inspection", "draw_images", "inspect_dataset"]

_SHOWN_SUBGROUPS = (*SUBGROUPS, "source")
NOT_RECORDED = "not recorded"
_DRAWN_SIDE = 256
UNREADABLE = Image.new("RGB", (32, 32), "#777777")

Drawn = dict[tuple[str, str], list[tuple[str, Image.Image]]]
"""Image ids and images by diagnosis and split."""


@dataclass(frozen=True)
class Inspection:
    """Counts of a dataset; every table has the splits as columns.

    Attributes:
        uri: Where the dataset is.
        manifest: Its manifest.
        images: Images by diagnosis.
        lesions: Images that belong to one lesion count once.
        patients: Number of known patients, None where none is recorded.
        synthetic: Number of images that show nobody.
        reconstructions: Number of images of patients that a model's autoencoder has made.
        subgroups: Images by group, for each of `SUBGROUPS` and for the source; only those recorded for some image.
        sources: Images by source and diagnosis.
        licences: Images by licence.
        coverage: For every column but the image, how many rows hold a value.
    """

    uri: str
    manifest: DatasetManifest
    images: pd.DataFrame
    lesions: int | None
    patients: int | None
    synthetic: int
    reconstructions: int
    subgroups: dict[str, pd.DataFrame]
    sources: pd.DataFrame
    licences: pd.DataFrame
    coverage: dict[str, int]

    @property
    def licence_conflicts(self) -> tuple[str, ...]:
        """Why the dataset may not be handed on, in sentences; only merged datasets say so."""
        origin = self.manifest.origin
        return origin.licence_conflicts if isinstance(origin, MergeOrigin) else ()

    def summary(self) -> dict[str, Any]:
        """Returns all of it as plain values."""
        manifest = self.manifest
        return {
            "uri": self.uri,
            "name": manifest.name,
            "version": manifest.version,
            "created": manifest.created,
            "rows": manifest.rows,
            "splits": manifest.splits,
            "classes": _plain(self.images),
            "lesions": self.lesions,
            "patients": self.patients,
            "synthetic": self.synthetic,
            "reconstructions": self.reconstructions,
            "subgroups": {name: _plain(counts) for name, counts in self.subgroups.items()},
            "sources": [
                {"source": source, "diagnosis": diagnosis, **counts}
                for (source, diagnosis), counts in self.sources.to_dict(orient="index").items()
            ],
            "licence": manifest.licence,
            "licences": _plain(self.licences),
            "attribution": manifest.attribution,
            "coverage": self.coverage,
            "origin": manifest.origin.content(),
        }


def inspect_dataset(uri: str) -> Inspection:
    """Counts what a dataset holds; reads its metadata and no pixels.

    Raises:
        UsageError: The address holds no dataset.
    """
    dataset = Dataset.open(uri)
    table = dataset.metadata()
    grouped = table.assign(**subgroups_of(table))
    synthetic = int(table["provenance"].map(is_synthetic).sum())
    recorded = [column for column in _SHOWN_SUBGROUPS if grouped[column].notna().any()]
    return Inspection(
        uri=dataset.uri,
        manifest=dataset.manifest,
        images=_counts(table, "diagnosis"),
        lesions=_distinct(table["lesion_id"]),
        patients=_distinct(table["patient_id"]),
        synthetic=synthetic,
        reconstructions=int(table["provenance"].map(is_generated).sum()) - synthetic,
        subgroups={column: _counts(grouped, column) for column in recorded},
        sources=_by_split(table.assign(source=table["source"].fillna(NOT_RECORDED)), ["source", "diagnosis"]),
        licences=_counts(table, "licence"),
        coverage={column: int(table[column].notna().sum()) for column in table.columns},
    )


def draw_images(uri: str, *, per_cell: int, seed: int = 0, allow_real_images: bool = True) -> Drawn:
    """Draws a few images of every class and split, the same for the same seed.

    Rows are stored in groups that are read whole, so they are drawn from few of these: beyond the metadata only
    those groups are transferred.

    Args:
        uri: The dataset.
        per_cell: Images of each class and split, where it has so many.
        seed: Seed of the draw.
        allow_real_images: Show images of real patients; without, only synthetic ones are drawn.
    """
    dataset = Dataset.open(uri)
    table = dataset.metadata(["image_id", "diagnosis", "split", "provenance"])
    table["row_group"] = dataset.row_groups()
    if not allow_real_images:
        table = table[table["provenance"].map(is_synthetic).astype(bool)]
    wanted = set(_choose(table, per_cell, seed))
    drawn: Drawn = {}
    for sample in dataset.select(wanted):
        drawn.setdefault((sample.diagnosis, sample.split), []).append((sample.image_id, _thumbnail(sample.image)))
    return {cell: drawn[cell] for cell in sorted(drawn, key=lambda cell: (SPLITS.index(cell[1]), cell[0]))}


def _choose(table: pd.DataFrame, per_cell: int, seed: int) -> Iterator[str]:
    """Takes row groups in an order drawn from the seed, as long as they hold rows of a cell that lacks some."""
    lacking = {cell: min(per_cell, size) for cell, size in table.groupby(["diagnosis", "split"]).size().items()}
    order = sorted(table["row_group"].unique(), key=lambda group: derive_seed(seed, "row group", str(group)))
    stored = dict(tuple(table.groupby("row_group")))
    for group in order:
        rows = stored[group]
        draw = sorted(rows.index, key=lambda row: derive_seed(seed, "picture", str(table.at[row, "image_id"])))
        for row in draw:
            cell = (table.at[row, "diagnosis"], table.at[row, "split"])
            if lacking[cell]:
                lacking[cell] -= 1
                yield str(table.at[row, "image_id"])


def _thumbnail(data: bytes) -> Image.Image:
    try:
        image = decode(data)
    except ImageError:
        return UNREADABLE
    image.thumbnail((_DRAWN_SIDE, _DRAWN_SIDE))
    return image


def _counts(table: pd.DataFrame, column: str) -> pd.DataFrame:
    counts = _by_split(table.assign(**{column: table[column].fillna(NOT_RECORDED)}), [column])
    last = [name for name in counts.index if name == NOT_RECORDED]
    return counts.loc[[*(name for name in _in_order(counts, column) if name != NOT_RECORDED), *last]]


def _in_order(counts: pd.DataFrame, column: str) -> list[str]:
    if column == "age_band":
        return [band for band in AGE_BANDS if band in counts.index]
    if column == "site":
        return list(counts.sum(axis=1).sort_values(ascending=False, kind="stable").index)
    return list(counts.index)


def _by_split(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    counts = table.groupby([*keys, "split"]).size().unstack("split", fill_value=0)
    return counts.reindex(columns=list(SPLITS), fill_value=0).astype(int)


def _distinct(values: pd.Series) -> int | None:
    return int(values.nunique()) or None


def _plain(counts: pd.DataFrame) -> Mapping[str, dict[str, int]]:
    return {
        str(name): {str(split): int(count) for split, count in row.items()}
        for name, row in counts.to_dict(orient="index").items()
    }
