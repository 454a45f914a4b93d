"""Which split each image goes to, given what is known of it and what it shows."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from lesiongen.dataset import SPLITS, assign_splits, groups, resolve_diagnosis
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import NearDuplicate, duplicate_groups
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.rows import Row
from lesiongen.ingestion.tables.reading import table_header
from lesiongen.records.provenance import is_generated
from lesiongen.storage import Storage

__all__ = ["LoadedRow", "check_official_split", "diagnosis_of", "shares_note", "split_rows", "untrained_note"]

_COLUMNS = ("lesion_id", "patient_id", "case_id", "official_split")
_MAY_BE_SPLIT = {
    "split",
    "official_split",
    "subset",
    "partition",
    "set",
    "fold",
    "dataset_split",
    "data_split",
    "phase",
}
"""Names of columns that may say which split a row is in."""
_FAR = 0.1
"""Share of the images by which a split may differ from what was asked for without being named."""
_FEW = 20
"""Fewer images are a try of how a table is read; their shares are not named."""
_NAMED = 10
"""Classes that a note names."""
_SAME = {
    "content_digest": "look alike (near-duplicates of one photograph)",
    "lesion_id": "are of one lesion (lesion_id)",
    "patient_id": "are of one patient (patient_id)",
    "case_id": "are of one case (case_id)",
}
"""What all images have in common, by the column that states it."""


@dataclass(frozen=True, slots=True)
class LoadedRow:
    """A row whose image has been read.

    Attributes:
        row: The row.
        place: Where its image's bytes are put aside.
        removed: What was removed from the image's file.
        content: Hash of what is kept of it.
    """

    row: Row
    place: slice
    removed: tuple[str, ...]
    content: str


def diagnosis_of(row: Row) -> str:
    """Returns the class of a row: the reader's own choice, the taxonomy's, or the label as it is."""
    if own := row.values.get("diagnosis"):
        return str(own)
    return resolve_diagnosis(row.diagnosis.text) or row.diagnosis.text


def check_official_split(config: IngestConfig, source: Storage, rows: Sequence[Row]) -> None:
    """Refuses to keep a published split that there is not, before any image is read.

    Raises:
        UsageError: The published split is asked for, and no row has one; a column that may hold it is named.
    """
    if config.keep_official_split and not any(row.values.get("official_split") for row in rows):
        tables = dict.fromkeys(row.table for row in rows if row.line is not None)
        hints = (hint for table in tables if (hint := _column_of_split(config, source, table)))
        raise UsageError(
            "The published split is asked for, but no row of the source has one",
            hint=next(hints, "Leave out --keep-official-split: rows are then split by lesion and patient."),
        )


def _column_of_split(config: IngestConfig, source: Storage, table: str) -> str | None:
    """Returns how a column is read that may hold the split, where a CSV table has one that is not."""
    header = table_header(source, table) if PurePosixPath(table).suffix.lower() == ".csv" else []
    unread = [name for name in header if name.strip().lower() in _MAY_BE_SPLIT and name != config.columns.get("split")]
    if config.format == "image_folder" and "split" not in config.columns:
        unread = [name for name in unread if name.lower() not in ("split", "official_split")]
    if not unread:
        return None
    column = shlex.quote(f"split={unread[0]}")
    if config.format == "image_folder":
        return f"Column {unread[0]!r} of {table} is not read: --column {column} takes it for the split."
    return (
        f"Column {unread[0]!r} of {table} is not read by --format {config.format}. --format image_folder reads it with "
        f"--option table={shlex.quote(table)} --column {column}, and the other columns by their --column."
    )


def split_rows(config: IngestConfig, loaded: Sequence[LoadedRow], alike: Iterable[NearDuplicate]) -> list[str | None]:
    """Assigns each row to a split, by lesion, patient, case and near-duplicates; synthetic images only to train.

    Args:
        config: Seed, shares, and whether the published split is kept.
        loaded: The rows.
        alike: The pairs of rows whose images show, or may show, one photograph.

    Returns:
        None for a synthetic image that belongs together with a real one outside train: it has no place.

    Raises:
        DataError: All rows belong together, so that none would be left to train on. A single row passes: it is a try of
            how a table is read.
    """
    table = pd.DataFrame(
        {
            "image_id": item.row.image_id,
            "diagnosis": diagnosis_of(item.row),
            **{name: item.row.values.get(name) for name in _COLUMNS},
        }
        for item in loaded
    )
    table["content_digest"] = duplicate_groups(alike, len(table))
    synthetic = pd.Series([is_generated(item.row.values.get("provenance")) for item in loaded])
    splits = assign_splits(
        table[~synthetic], seed=config.seed, fractions=config.split_fractions, keep_official=config.keep_official_split
    )
    labels = pd.Series(groups(table))
    held_out = set(labels[splits.index[splits != "train"]])
    found = [splits[row] if row in splits.index else _of_synthetic(labels[row] in held_out) for row in table.index]
    if "train" not in found and len(found) > 1 and not _without_train(config, table):
        raise _nothing_to_train_on(table)
    return found


def _without_train(config: IngestConfig, table: pd.DataFrame) -> bool:
    """Tells whether nothing to train on is what was asked for, or how the authors have split."""
    kept = config.keep_official_split and table["official_split"].isin(SPLITS).any()
    return bool(config.split_fractions[0] == 0 or kept)


def shares_note(config: IngestConfig, loaded: Sequence[LoadedRow], splits: Sequence[str | None]) -> Iterator[str]:
    """Yields a sentence where the real images could not be split nearly as asked for, since many belong together."""
    pairs = zip(loaded, splits, strict=True)
    real = [split for item, split in pairs if not is_generated(item.row.values.get("provenance"))]
    shares = [real.count(name) / max(len(real), 1) for name in SPLITS]
    far = any(abs(share - wanted) > _FAR for share, wanted in zip(shares, config.split_fractions, strict=True))
    if far and len(real) >= _FEW and not config.keep_official_split:
        texts = [", ".join(f"{share:.0%}" for share in given) for given in (shares, config.split_fractions)]
        yield (
            f"train, validation and test hold {texts[0]} of the images instead of {texts[1]}: each class is split by "
            "lesion, patient, case and photograph, and there are too few of these"
        )


def untrained_note(loaded: Sequence[LoadedRow], splits: Sequence[str | None]) -> Iterator[str]:
    """Yields a sentence that names the classes of which no image is in the train split."""
    found = [(diagnosis_of(item.row), split) for item, split in zip(loaded, splits, strict=True) if split is not None]
    trained = {diagnosis for diagnosis, split in found if split == "train"}
    lacking = sorted({diagnosis for diagnosis, _ in found} - trained)
    if trained and lacking and len(found) >= _FEW:
        more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
        yield (
            f"Classes without a training image: {', '.join(lacking[:_NAMED])}{more}. The generator cannot learn them; "
            "a class of one or two lesions is too small for three splits"
        )


def _of_synthetic(held_out: bool) -> str | None:
    return None if held_out else "train"


def _nothing_to_train_on(table: pd.DataFrame) -> DataError:
    same = [what for column, what in _SAME.items() if table[column].notna().all() and table[column].nunique() == 1]
    reason = same[0] if same else "belong together, by lesion, patient, case or likeness"
    return DataError(
        f"Nothing is left to train on: all {len(table):,} images {reason}, "
        "and what belongs together stays in one split.",
        hint="Check that the table's ids and the image files are the right ones, and add images of other patients: "
        "train and test need at least one group each.",
    )
