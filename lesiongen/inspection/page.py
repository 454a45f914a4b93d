"""The inspection of a dataset as a page."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from lesiongen.dataset.schema import SPLITS
from lesiongen.imaging import contact_sheet
from lesiongen.inspection.counting import Drawn, Inspection
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text

__all__ = ["inspection_page", "origin_facts"]

COLUMNS, TILE = 4, 76


def inspection_page(inspection: Inspection, drawn: Drawn) -> Page:
    """Lays out what a dataset holds, and a sheet of images for each class and split, the classes side by side."""
    manifest = inspection.manifest
    page = Page(f"Dataset {manifest.name}", f"{inspection.uri} · version {manifest.version[:12]}")
    page.add(Section("Overview", _overview(inspection)))
    for split in SPLITS:
        if sheets := list(_sheets(drawn, split)):
            page.add(Section(f"Images of {split}", sheets))
    if not drawn:
        page.add(Section("Images", [Text("The images are left out: they may show real patients.")]))
    page.add(Section("Patients and images", [_counts(name, part) for name, part in inspection.subgroups.items()]))
    page.add(Section("Sources", [_sources(inspection.sources)]))
    page.add(Section("Licence", _licence(inspection)))
    page.add(Section("Where it comes from", _origin(manifest.origin.content(), manifest.created)))
    page.add(Section("Columns", [_coverage(inspection)]))
    return page


def _overview(inspection: Inspection) -> list[Block]:
    manifest = inspection.manifest
    facts = {
        "images": manifest.rows,
        "lesions": inspection.lesions,
        "patients": inspection.patients,
        "synthetic": inspection.synthetic,
        "reconstructions": inspection.reconstructions,
        "licence": manifest.licence or "not stated",
    }
    images = inspection.images
    total = [["all", *map(int, images.sum()), int(images.to_numpy().sum())]]
    return [Facts(facts), Table(["diagnosis", *SPLITS, "all"], [*_rows(images), *total], "Images")]


def _rows(counts: pd.DataFrame) -> list[list[object]]:
    return [[name, *map(int, row), int(row.sum())] for name, row in counts.iterrows()]


def _counts(name: str, counts: pd.DataFrame) -> Table:
    return Table([name.replace("_", " "), *SPLITS, "all"], _rows(counts))


def _sources(sources: pd.DataFrame) -> Table:
    rows = [[*map(str, key), *map(int, row), int(row.sum())] for key, row in sources.iterrows()]
    return Table(["source", "diagnosis", *SPLITS, "all"], rows)


def _sheets(drawn: Drawn, split: str) -> Iterator[Figure]:
    for (diagnosis, of_split), images in drawn.items():
        if of_split == split:
            sheet = contact_sheet([image for _, image in images], columns=COLUMNS, tile=TILE)
            yield Figure(sheet, f"{len(images)} images of {diagnosis} in {split}", diagnosis)


def _licence(inspection: Inspection) -> list[Block]:
    manifest = inspection.manifest
    conflicts = [Callout("error", f"{text}.") for text in inspection.licence_conflicts]
    named = Text(f"To be named: {manifest.attribution}" if manifest.attribution else "Nobody to name is stated.")
    return [*conflicts, _counts("licence", inspection.licences), named]


def origin_facts(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns how a dataset was made as rows of name and text; nested settings get dotted names."""
    rows: list[tuple[str, str]] = []
    for name, value in origin.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{inner}", text) for inner, text in origin_facts(value)]
        elif isinstance(value, list):
            rows += [row for number, item in enumerate(value, 1) for row in _listed(f"{name} {number}", item)]
        elif value not in (None, "", ()):
            rows.append((name, str(value)))
    return rows


def _listed(name: str, item: object) -> list[tuple[str, str]]:
    if isinstance(item, Mapping):
        return [(f"{name}.{inner}", text) for inner, text in origin_facts(item)]
    return [(name, str(item))]


def _origin(origin: Mapping[str, Any], created: str) -> list[Block]:
    return [Table(["what", "value"], [("created", created), *origin_facts(origin)])]


def _coverage(inspection: Inspection) -> Table:
    total = max(1, inspection.manifest.rows)
    rows = [[column, count, f"{count / total:.0%}"] for column, count in inspection.coverage.items()]
    return Table(["column", "rows with a value", "share"], rows)
