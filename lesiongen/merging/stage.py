"""Combining datasets of different collections into one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.examinations import keep_examinations
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.licences import combine_licences
from lesiongen.dataset.near_duplicates import datasets_near_duplicates, keep_near_duplicates
from lesiongen.dataset.pixel_hashes import pixel_hashes
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import DatasetWriter
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import SAME_PHOTOGRAPH, Fingerprint, NearDuplicate, duplicate_groups, pairs_among
from lesiongen.merging.config import MergeConfig
from lesiongen.merging.plan import ID_COLUMNS, MergePlan, dataset_names, plan_merge
from lesiongen.merging.report import merge_page, merge_report, shown_pairs
from lesiongen.progress import Progress, progress
from lesiongen.records.merge import MergeReport
from lesiongen.records.origin import MergedDataset, MergeOrigin
from lesiongen.references import DatasetReference
from lesiongen.reporting import render
from lesiongen.storage import as_json, claimed, open_storage, overlap
from lesiongen.tracking import stage_run

__all__ = ["PAGE_NAME", "REPORT_NAME", "MergeResult", "merge"]

REPORT_NAME = "merge_report.json"
PAGE_NAME = "merge_report.html"
_PLANNED = ("image_id", "diagnosis", "split", "source", *ID_COLUMNS)


@dataclass(frozen=True)
class MergeResult:
    """The merged dataset and its report."""

    dataset: DatasetReference
    report: MergeReport


def merge(config: MergeConfig, uris: Sequence[str], output: str) -> MergeResult:
    """Combines datasets into one: every row keeps its split, its source and its licence.

    Images that several datasets show are found by their pixels. Ids that two collections use are distinguished by the
    name of the collection. ``merge_report.json`` and ``merge_report.html`` are written beside the shards. Memory holds
    the metadata, a fingerprint for each image and a few images.

    Args:
        config: Name and rule for duplicates.
        uris: Two datasets or more; of a photograph that several show, the one that is named first is kept.
        output: New folder or prefix.

    Raises:
        UsageError: There are fewer than two datasets, one is given twice, or the output holds a dataset already or lies
            within one of them or around it.
        DataError: An image cannot be decoded, or there are duplicates and the rule is ``fail``.
    """
    datasets = _opened(uris)
    if within := next((uri for uri in uris if overlap(uri, output)), None):
        raise UsageError(
            f"The output {output} is the dataset {within}, or is inside it, or contains it", hint="Name a new folder."
        )
    params = {**config.model_dump(), "datasets": " ".join(uris)}
    with claimed(open_storage(output)), stage_run("merge", params) as run:
        combined = combine_licences(_licences(datasets))
        names = dataset_names([one.manifest.name for one in datasets], [one.manifest.version for one in datasets])
        writer = DatasetWriter(
            output,
            name=config.name,
            licence=combined.text,
            attribution="; ".join(dict.fromkeys(filter(None, (one.manifest.attribution for one in datasets)))) or None,
            origin=MergeOrigin(
                stage="merge",
                config=config.model_dump(mode="json"),
                datasets=_inputs(datasets, names),
                licence_conflicts=combined.conflicts,
            ),
        )
        with writer:
            table = _table(datasets, names)
            images = _recognised(datasets, table)
            plan = plan_merge(table, _photographs(images.alike, len(table)), drop=config.duplicates == "drop")
            report = merge_report(plan, images.hashes, _inputs(datasets, names), combined, config.duplicates)
            _refuse_duplicates(config, report)
            writer.origin = writer.origin.changed(sources=report.sources)
            _keep(writer, images, plan)
            for sample in _kept(datasets, plan):
                writer.add(sample)
            shown = shown_pairs(datasets, report.duplicates, allow_real_images=config.allow_real_images)
            writer.documents[REPORT_NAME] = as_json(report.content())
            writer.documents[PAGE_NAME] = render(merge_page(config.name, report, shown))
        merged = Dataset.open(output).reference()
        run.log_json(report.content(), REPORT_NAME)
        run.log_metrics({"images": merged.rows, "dropped": len(report.dropped)})
    return MergeResult(merged, report)


def _opened(uris: Sequence[str]) -> list[Dataset]:
    datasets = [Dataset.open(uri) for uri in uris]
    if len(datasets) < 2:
        raise UsageError("Merging needs two datasets or more")
    versions: dict[str, str] = {}
    for dataset in datasets:
        if (version := dataset.manifest.version) in versions:
            raise UsageError(f"{dataset.uri} and {versions[version]} are the same dataset", hint="Give each once.")
        versions[version] = dataset.uri
    return datasets


def _inputs(datasets: Sequence[Dataset], names: Sequence[str]) -> tuple[MergedDataset, ...]:
    return tuple(
        MergedDataset(
            name=name,
            uri=dataset.uri,
            version=dataset.manifest.version,
            rows=dataset.manifest.rows,
            licence=dataset.manifest.licence,
        )
        for name, dataset in zip(names, datasets, strict=True)
    )


def _licences(datasets: Sequence[Dataset]) -> Iterator[str | None]:
    for dataset in datasets:
        yield from dataset.metadata(["licence"])["licence"].fillna(dataset.manifest.licence or "").unique()


def _table(datasets: Sequence[Dataset], names: Sequence[str]) -> pd.DataFrame:
    tables = [
        dataset.metadata(_PLANNED).assign(dataset=number, name=name)
        for number, (dataset, name) in enumerate(zip(datasets, names, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class _Images:
    """What is known of the images of the rows.

    Attributes:
        seen: What was looked up in each (`examined_images`).
        prints: The fingerprint of each.
        alike: The pairs of rows that show, or may show, one photograph.
        hashes: A hash of the pixels of each.
    """

    seen: pd.DataFrame
    prints: Sequence[Fingerprint]
    alike: list[NearDuplicate]
    hashes: NDArray[np.object_]


def _recognised(datasets: Sequence[Dataset], table: pd.DataFrame) -> _Images:
    seen, prints = examined_images(datasets, doing="Looking for duplicates")
    if not (problems := seen["decode_problem"].dropna()).empty:
        row = table.loc[problems.index[0]]
        raise DataError(
            f"{datasets[row['dataset']].uri}, image_id = {row['image_id']}: {problems.iloc[0]}",
            hint="lesiongen validate lists every such image.",
        )
    image_ids = [rows["image_id"].tolist() for _, rows in table.groupby("dataset")]
    alike = datasets_near_duplicates(datasets, image_ids, prints)
    looks = _photographs(alike, len(table))
    hashes = pixel_hashes(seen.assign(look=looks, **table[["dataset", "image_id"]]), datasets)
    return _Images(seen, prints, alike, hashes)


def _photographs(alike: Iterable[NearDuplicate], count: int) -> NDArray[np.int32]:
    return duplicate_groups((pair for pair in alike if pair.agreement >= SAME_PHOTOGRAPH), count)


def _keep(writer: DatasetWriter, images: _Images, plan: MergePlan) -> None:
    """Has the merged dataset keep what is known of the rows that are kept."""
    kept = np.flatnonzero(plan.table["dropped"].isna()).tolist()
    image_ids = plan.table["image_id"].tolist()
    keep_near_duplicates(writer, [image_ids[row] for row in kept], pairs_among(images.alike, len(image_ids), kept))
    keep_examinations(writer, {image_ids[row]: row for row in kept}, images.seen, images.prints)


def _refuse_duplicates(config: MergeConfig, report: MergeReport) -> None:
    if config.duplicates == "fail" and (pairs := report.duplicates):
        first = ", ".join(f"{pair.image} = {pair.copied}" for pair in pairs[:5])
        more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        raise DataError(
            f"The datasets share {len(pairs)} images: {first}{more}",
            hint="--duplicates drop leaves the copies out; --duplicates keep takes them in.",
        )


def _kept(datasets: Sequence[Dataset], plan: MergePlan) -> Iterator[Sample]:
    columns = ["image_id", "source", *ID_COLUMNS, "dropped"]
    planned = plan.table[columns].astype(object).where(plan.table[columns].notna(), None)
    rows = iter(planned.to_dict(orient="records"))
    with progress("Merging", total=len(planned), unit="images") as bar:
        for dataset in datasets:
            yield from _renamed(dataset, rows, bar)


def _renamed(dataset: Dataset, rows: Iterator[dict[Any, Any]], bar: Progress) -> Iterator[Sample]:
    manifest = dataset.manifest
    for sample in dataset.samples():
        row = next(rows)
        bar.advance()
        if row.pop("dropped") is None:
            yield replace(
                sample,
                **row,
                licence=sample.licence or manifest.licence,
                attribution=sample.attribution or manifest.attribution,
            )
