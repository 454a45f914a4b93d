"""A small collection of every format, and where to harm it."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
