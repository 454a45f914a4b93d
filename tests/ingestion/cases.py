"""A small collection of every format, and where to harm it."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures


def rows_of(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fitzpatrick17k(folder: Path) -> Path:
    columns = (
        "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,"
        "url_alphanum"
    )
    labels = ("psoriasis", "melanoma", "basal cell carcinoma")
    rows = [
        dict.fromkeys(columns.split(","), "")
        | {"md5hash": f"{number + 1:032x}", "fitzpatrick_scale": "3", "fitzpatrick_centaur": "-1"}
        | {"label": labels[number % 3], "nine_partition_label": "inflammatory", "three_partition_label": "malignant"}
        for number in range(12)
    ]
    table = folder.parent / "small.csv"
    miniatures.write_csv(table, columns.split(","), rows)
    return miniatures.fitzpatrick17k(folder, table, [row["md5hash"] for row in rows])


@dataclass(frozen=True)
class Case:
    """Where a format is harmed.

    Attributes:
        format: Its name.
        build: Writes its miniature.
        table: The table of diagnoses.
        names: Column that names the image.
        diagnosis: A column that is needed for the diagnosis.
        missing_is: Kind of a row whose image is not there.
        stray_is: Whether an image that no row names is told.
    """

    format: str
    build: Callable[[Path], Path]
    table: str
    names: str
    diagnosis: str
    missing_is: str = "rejected"
    stray_is: str | None = "rejected"


CASES = [
    Case("ham10000", miniatures.ham10000, "HAM10000_metadata.csv", "image_id", "dx"),
    Case("isic", miniatures.isic, "ISIC_2019_Training_GroundTruth.csv", "image", "MEL"),
    Case("isic2024", miniatures.isic2024, "train-metadata.csv", "isic_id", "isic_id"),
    Case("milk10k", miniatures.milk10k, "MILK10k_Training_Metadata.csv", "isic_id", "lesion_id"),
    Case("derm7pt", miniatures.derm7pt, "meta/meta.csv", "derm", "diagnosis"),
    Case("fitzpatrick17k", fitzpatrick17k, "fitzpatrick17k.csv", "md5hash", "label", missing_is="missing"),
    Case("ddi", partial(miniatures.ddi, copies=2), "ddi_metadata.csv", "DDI_file", "disease"),
    Case("pad_ufes_20", miniatures.pad_ufes_20, "metadata.csv", "img_id", "diagnostic"),
    Case("skincap", miniatures.skincap, "skincap_v240623.csv", "skincap_file_path", "disease"),
    Case("image_folder", miniatures.image_folder, "metadata.csv", "file_name", "diagnosis"),
]
WITHOUT_HEADER = ("isic2016",)
"""Formats whose tables have no header, and so no columns to harm by their names."""


def change(path: Path, number: int, cells: Mapping[str, str]) -> None:
    rows = rows_of(path)
    rows[number] |= cells
    miniatures.write_csv(path, tuple(rows[0]), rows)


def image_of(case: Case, source: Path, number: int = 2) -> Path:
    stem = Path(rows_of(source / case.table)[number][case.names]).stem
    return next(path for path in source.rglob("*") if path.stem == stem and path.suffix in (".jpg", ".png"))


def refused(case: Case, source: Path, tmp_path: Path, **config) -> str:
    """Ingests what has to fail, and returns the message."""
    before = sorted(path for path in tmp_path.rglob("*") if source not in path.parents)
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format=case.format, **config), str(source), str(tmp_path / "out"))
    assert sorted(path for path in tmp_path.rglob("*") if source not in path.parents) == before
    return str(caught.value)


def accepted(case: Case, source: Path, tmp_path: Path, **config):
    return ingest(IngestConfig(format=case.format, **config), str(source), str(tmp_path / "out"))
