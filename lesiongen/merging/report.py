"""What a merge did: the report as data and as a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lesiongen.dataset.licences import CombinedLicence
from lesiongen.dataset.schema import SPLITS
from lesiongen.dataset.taxonomy import overlapping_classes
from lesiongen.imaging import contact_sheet, decode
from lesiongen.merging.plan import MergePlan
from lesiongen.records.merge import ClassCount, DroppedImage, Duplicates, MergeReport, SharedImage
from lesiongen.records.origin import MergedDataset
from lesiongen.records.provenance import is_synthetic
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text

if TYPE_CHECKING:
    from lesiongen.dataset.reader import Dataset

__all__ = ["merge_page", "merge_report", "shown_pairs"]

SHOWN_PAIRS = 24
LISTED = 200
TILE = 128


def merge_report(
    plan: MergePlan,
    hashes: NDArray[Any],
    inputs: tuple[MergedDataset, ...],
    licence: CombinedLicence,
    rule: Duplicates,
) -> MergeReport:
    """Returns the report of a merge.

    Args:
        plan: What became of every row.
        hashes: Hash of each row's pixels.
        inputs: The datasets.
        licence: Their licences combined.
        rule: The rule for duplicates.
    """
    table = plan.table.assign(digest=hashes)
    kept, dropped = table[table["dropped"].isna()], table[table["dropped"].notna()]
    pairs = tuple(_pairs(table))
    return MergeReport(
        datasets=inputs,
        rule=rule,
        images=len(kept),
        sources={str(source): _split_counts(rows) for source, rows in kept.groupby("source")},
        classes=_counts(kept, dropped),
        overlapping_classes=overlapping_classes(kept["diagnosis"]),
        licence=licence.text,
        licence_conflicts=licence.conflicts,
        leaks=plan.leaks,
        leaks_kept=plan.leaks if rule == "keep" else 0,
        label_conflicts=sum(pair.diagnosis != pair.copy_diagnosis for pair in pairs),
        renamed=plan.renamed,
        duplicates=pairs,
        dropped=tuple(
            DroppedImage(dataset=row.name_, image_id=row.own_id, split=row.split, reason=row.dropped)
            for row in dropped.rename(columns={"name": "name_"}).itertuples()
        ),
    )


def _split_counts(rows: pd.DataFrame) -> dict[str, int]:
    counts = rows["split"].value_counts()
    return {split: int(counts.get(split, 0)) for split in SPLITS}


def _counts(kept: pd.DataFrame, dropped: pd.DataFrame) -> tuple[ClassCount, ...]:
    keys = ["source", "diagnosis", "split"]
    both = pd.DataFrame({"images": kept.groupby(keys).size(), "dropped": dropped.groupby(keys).size()})
    rows = both.fillna(0).astype(int).reset_index().to_dict(orient="records")
    return tuple(ClassCount(**row) for row in rows)


def _pairs(table: pd.DataFrame) -> Iterator[SharedImage]:
    """Yields every image that an earlier dataset shows too, beside the first such image."""
    shown = table[table["cluster"] >= 0]
    for _, rows in shown.groupby("cluster"):
        first = rows.iloc[0]
        for _, row in rows[rows["dataset"] != first["dataset"]].iterrows():
            yield SharedImage(
                image=_named(first),
                copied=_named(row),
                kind="exact" if first["digest"] == row["digest"] else "near",
                split=first["split"],
                copy_split=row["split"],
                diagnosis=first["diagnosis"],
                copy_diagnosis=row["diagnosis"],
                kept=_kept(first, row),
                datasets=(int(first["dataset"]), int(row["dataset"])),
                image_ids=(first["own_id"], row["own_id"]),
            )


def _named(row: "pd.Series[Any]") -> str:
    return f"{row['name']}/{row['own_id']}"


def _kept(first: "pd.Series[Any]", row: "pd.Series[Any]") -> str:
    kept = [_named(one) for one in (first, row) if one["dropped"] is None]
    return {0: "neither", 2: "both"}.get(len(kept)) or kept[0]


def shown_pairs(
    datasets: Sequence["Dataset"], pairs: Sequence[SharedImage], *, allow_real_images: bool
) -> dict[tuple[int, str], Image.Image]:
    """Returns the images of the first pairs, by dataset and image_id; only those that may be shown."""
    wanted: dict[int, set[str]] = {}
    for pair in pairs[:SHOWN_PAIRS]:
        for number, image_id in zip(pair.datasets, pair.image_ids, strict=True):
            wanted.setdefault(number, set()).add(image_id)
    images = {}
    for number, image_ids in wanted.items():
        for sample in datasets[number].select(image_ids):
            if allow_real_images or is_synthetic(sample.provenance):
                images[number, sample.image_id] = decode(sample.image)
                images[number, sample.image_id].thumbnail((2 * TILE, 2 * TILE))
    return images


def merge_page(name: str, report: MergeReport, images: Mapping[tuple[int, str], Image.Image]) -> Page:
    """Lays out the outcome, the counts by source, split and class, the licences, and the duplicates side by side."""
    page = Page(f"Merge: {name}", f"{report.images:,} images of {len(report.sources)} sources")
    page.add(Section("Result", _result(report)))
    page.add(Section("Sources, splits and classes", _classes(report)))
    page.add(Section("Duplicates", _duplicates(report, images)))
    if report.dropped:
        rows = [[row.dataset, row.image_id, row.split, row.reason] for row in report.dropped[:LISTED]]
        page.add(Section("Left out", [Table(["dataset", "image", "split", "why"], rows, _of(report.dropped))]))
    return page


def _result(report: MergeReport) -> list[Block]:
    blocks: list[Block] = [Callout("error", conflict + ".") for conflict in report.licence_conflicts]
    if report.leaks_kept:
        blocks.append(Callout("error", f"{report.leaks_kept} groups of images are in several splits: a leak."))
    elif report.leaks:
        text = (
            f"{report.leaks} groups of images would have been in several splits; images were left out to prevent that."
        )
        blocks.append(Callout("info", text))
    if report.label_conflicts:
        text = f"{report.label_conflicts} images have another diagnosis in another dataset: see Duplicates."
        blocks.append(Callout("warning", text))
    if report.overlapping_classes:
        blocks.append(Callout("warning", f"{report.overlapping_classes}."))
    facts = {
        "images": report.images,
        "left out": len(report.dropped),
        "duplicates": len(report.duplicates),
        "licence": report.licence,
    }
    rows = [[one.name, one.rows, one.licence, one.uri] for one in report.datasets]
    return [*blocks, Facts(facts), Table(["dataset", "images", "licence", "from"], rows)]


def _classes(report: MergeReport) -> list[Block]:
    splits = [[source, *counts.values(), sum(counts.values())] for source, counts in report.sources.items()]
    rows: dict[tuple[str, str], list[Any]] = {}
    for cell in report.classes:
        row = rows.setdefault((cell.source, cell.diagnosis), [0] * (len(SPLITS) + 1))
        row[SPLITS.index(cell.split)] = cell.images
        row[-1] += cell.dropped
    return [
        Table(["source", *SPLITS, "all"], splits),
        Table(["source", "diagnosis", *SPLITS, "left out"], [[*key, *row] for key, row in rows.items()]),
    ]


def _duplicates(report: MergeReport, images: Mapping[tuple[int, str], Image.Image]) -> list[Block]:
    pairs = report.duplicates
    if not pairs:
        return [Text("No image of one dataset was found in another.")]
    rule = {"drop": "Copies were left out.", "keep": "All were kept.", "fail": ""}[report.rule]
    rows = [
        [
            pair.image,
            pair.copied,
            pair.kind,
            _change(pair.split, pair.copy_split),
            _change(pair.diagnosis, pair.copy_diagnosis),
            pair.kept,
        ]
        for pair in pairs[:LISTED]
    ]
    heads = ["image", "copy", "kind", "split", "diagnosis", "kept"]
    shown = list(_side_by_side(pairs, images))
    withheld = [] if shown else [Text("The images are left out: they may show real patients.")]
    return [Text(f"{len(pairs):,} images are in several datasets. {rule}"), *shown, *withheld,
            Table(heads, rows, _of(pairs))]  # fmt: skip


def _side_by_side(pairs: Sequence[SharedImage], images: Mapping[tuple[int, str], Image.Image]) -> Iterator[Figure]:
    for pair in pairs[:SHOWN_PAIRS]:
        keys = list(zip(pair.datasets, pair.image_ids, strict=True))
        if all(key in images for key in keys):
            labels = [f"{pair.split} {pair.diagnosis}", f"{pair.copy_split} {pair.copy_diagnosis}"]
            sheet = contact_sheet([images[key] for key in keys], labels, columns=2, tile=TILE)
            yield Figure(sheet, f"{pair.image} beside {pair.copied}", f"{pair.image} and {pair.copied}")


def _change(first: str, second: str) -> str:
    return first if first == second else f"{first} and {second}"


def _of(rows: Sequence[Any]) -> str:
    return f"The first {LISTED} of {len(rows):,}" if len(rows) > LISTED else ""
