"""What an export will hold, settled from the columns before an image is read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lesiongen import __version__
from lesiongen.dataset import SPLITS, TONE_CLASSES, Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.exporting.config import ExportConfig
from lesiongen.exporting.licence import known_licence, licence_of_whole
from lesiongen.exporting.near_copies import FoundCopies, left_out_before
from lesiongen.exporting.provenance import handed_on
from lesiongen.records.export import ExportRecord
from lesiongen.records.provenance import is_synthetic

__all__ = ["ExportPlan", "plan_export"]

PER_FOLDER = 1000
"""Images in a folder; the Hugging Face Hub takes 10,000 files in one."""
_IDS = ["lesion_id", "patient_id", "case_id"]
_SHOWN = ["diagnosis", "age", "sex", "site", "skin_tone", "skin_tone_scale", "measured_tone", "image_type"]
_READ = ["image_id", "split", "provenance", "licence", "attribution", *_IDS, *_SHOWN]
_SCALES = ("fitzpatrick", "monk", "ddi", "milk10k")
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class ExportPlan:
    """What is written of each image, and what the record says of all.

    Attributes:
        dataset: The synthetic images.
        table: A row for each image that is exported, in the order of `Dataset.samples`: ``row``, its place there,
            ``path`` from the root of the export, ``facts``, what is handed on of its provenance, its licence, its
            attribution, and the columns that its row in the table is made of.
        record: What ``export.json`` says, without the time.
    """

    dataset: Dataset
    table: pd.DataFrame
    record: ExportRecord

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the rows of the table; what is not known is None."""
        for row in self.table.itertuples(index=False):
            yield {name: None if _is_missing(value) else value for name, value in row._asdict().items()}


def plan_export(config: ExportConfig, dataset: Dataset, copies: FoundCopies | None) -> ExportPlan:
    """Decides what is exported under which names; no pixel is read.

    Images are numbered anew: no id of the dataset leaves.

    Args:
        config: What is exported.
        dataset: The synthetic images.
        copies: What an evaluation found; None where none was given.

    Raises:
        UsageError: An image is not synthetic, or licences are missing.
        DataError: The images may not be handed on together, none is left, or a prompt names a patient or a lesion.
    """
    table = dataset.metadata(_READ)
    table["row"] = range(len(table))
    _require_synthetic(dataset, table)
    table = _without_own_words(table)
    left_out = _left_out(config, table, copies)
    table = table[~left_out].reset_index(drop=True)
    if table.empty:
        raise DataError(f"{dataset.uri}: no image is left to export: all {len(left_out):,} are near copies")
    stated = [known_licence(text) or known_licence(dataset.manifest.licence) for text in table["licence"]]
    licence = licence_of_whole(stated, config.licence)
    attribution = _attribution(config, dataset, table)
    table["licence"] = [text or config.licence for text in stated]
    table["attribution"] = table["attribution"].where(table["attribution"].notna(), attribution)
    table["facts"] = [handed_on(value, config.model_name) for value in table["provenance"]]
    _require_prompts_without_ids(dataset, table)
    table["path"] = list(_paths(config.name or dataset.manifest.name, table["split"]))
    record = _counted(table).changed(
        name=config.name or dataset.manifest.name,
        lesiongen_version=__version__,
        dataset_version=dataset.manifest.version,
        config=config.model_dump(mode="json"),
        licence=licence,
        attribution=attribution,
        near_copies=copies and copies.record.changed(left_out=int(left_out.sum())),
        near_copies_left_out_before=left_out_before(dataset),
    )
    return ExportPlan(dataset, table.drop(columns=["image_id", "provenance", *_IDS]), record)


def _counted(table: pd.DataFrame) -> ExportRecord:
    """Returns a record of what the rows of a plan say."""
    scaled = table["skin_tone_scale"] + " " + table["skin_tone"]
    return ExportRecord(
        model_versions=tuple(sorted({facts["model_version"] for facts in table["facts"] if "model_version" in facts})),
        images=len(table),
        splits={split: count for split in SPLITS if (count := int((table["split"] == split).sum()))},
        diagnoses=_counts(table["diagnosis"]),
        measured_tones=_counts(table["measured_tone"]),
        skin_tones=_counts(scaled) if scaled.notna().any() else {},
    )


def _require_synthetic(dataset: Dataset, table: pd.DataFrame) -> None:
    others = sum(not is_synthetic(value) for value in table["provenance"])
    if others:
        raise UsageError(
            f"{dataset.uri}: {others:,} of {len(table):,} images are not synthetic; only synthetic images are exported",
            hint="Give what lesiongen sample or lesiongen select has written. A reconstruction shows a patient.",
        )


def _left_out(config: ExportConfig, table: pd.DataFrame, copies: FoundCopies | None) -> "pd.Series[bool]":
    if config.leave_out is None:
        return pd.Series(False, index=table.index)
    if copies is None:
        raise UsageError(
            "leave_out = near-copies needs an evaluation, which says which images they are",
            hint="Give the output of lesiongen evaluate with --evaluation.",
        )
    return table["image_id"].isin(copies.image_ids)


def _attribution(config: ExportConfig, dataset: Dataset, table: pd.DataFrame) -> str | None:
    of_images, of_dataset = table["attribution"].dropna(), dataset.manifest.attribution
    texts = [*of_images, *([of_dataset] if of_dataset and len(of_images) < len(table) else [])]
    stated = dict.fromkeys(part for text in texts for part in text.split("; "))  # as a merge joins them
    if stated and config.attribution is not None:
        raise UsageError(
            f"attribution = {config.attribution!r}: the dataset names somebody already ({next(iter(stated))})",
            hint="Omit --attribution: an export keeps the attribution of its dataset.",
        )
    return config.attribution or "; ".join(stated) or None


def _require_prompts_without_ids(dataset: Dataset, table: pd.DataFrame) -> None:
    """Refuses prompts that name a lesion, a patient or a case of the dataset: a prompt leaves as it is.

    Case and line breaks do not matter. A short number is no such name: it may be a size or a grade.
    """
    texts = [_folded(f"{facts.get('prompt', '')} {facts.get('negative_prompt', '')}") for facts in table["facts"]]
    known = {_folded(str(value)) for name in _IDS for value in table[name].dropna().unique()}
    ids = {text for text in known if text and (len(text) > 3 or not text.isdecimal())}
    all_texts = "\n".join(dict.fromkeys(texts))
    found = [re.escape(text) for text in sorted(ids) if text in all_texts]  # few: an expression of all ids is slow
    names_one = re.compile(rf"(?<!\w)(?:{'|'.join(found)})(?!\w)")
    naming = sum(names_one.search(text) is not None for text in texts) if found else 0
    if naming:
        raise DataError(
            f"{dataset.uri}: the prompts of {naming:,} images contain a lesion_id, patient_id or case_id",
            hint="Draw the images again from captions that name nobody.",
        )


def _folded(text: str) -> str:
    """Returns a text without differences of case and blanks."""
    return " ".join(text.casefold().split())


def _paths(name: str, splits: "pd.Series[str]") -> Iterator[str]:
    seen = dict.fromkeys(SPLITS, 0)
    for number, split in enumerate(splits, start=1):
        yield f"{split}/{seen[split] // PER_FOLDER:05d}/{name}-{number:07d}.png"
        seen[split] += 1


def _counts(values: "pd.Series[str]") -> dict[str, int]:
    counts = values.fillna(_UNKNOWN).value_counts()
    return {str(name): int(counts[name]) for name in sorted(counts.index)}


def _without_own_words(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the table without values that are a source's own words, which may name somebody."""
    known = {"sex": ("male", "female"), "measured_tone": TONE_CLASSES, "image_type": ("dermoscopic", "clinical")}
    kept = {name: table[name].where(table[name].isin(values), None) for name, values in known.items()}
    of_scale = table["skin_tone_scale"].isin(_SCALES) & table["skin_tone"].fillna("").str.fullmatch(r"\d{1,2}")
    return table.assign(
        **kept, **{name: table[name].where(of_scale, None) for name in ("skin_tone", "skin_tone_scale")}
    )


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and pd.isna(value))
