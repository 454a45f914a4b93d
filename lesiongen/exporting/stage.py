"""The stage: a dataset of synthetic images as a folder that can be handed to others."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from lesiongen.dataset import SPLITS, Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.exporting.card import dataset_card
from lesiongen.exporting.config import ExportConfig
from lesiongen.exporting.isic import COLUMNS, isic_row
from lesiongen.exporting.licence import licence_file
from lesiongen.exporting.near_copies import find_near_copies
from lesiongen.exporting.plan import ExportPlan, plan_export
from lesiongen.exporting.provenance import marked_png
from lesiongen.parallel import SMALL, in_processes
from lesiongen.progress import progress
from lesiongen.records.export import ExportRecord, read_export
from lesiongen.safe_csv import csv_table
from lesiongen.storage import (
    Claim,
    Creation,
    LocalStorage,
    Storage,
    already_holds,
    claimed,
    in_parallel,
    open_storage,
    overlap,
)
from lesiongen.storage.claim_objects import CLAIMS
from lesiongen.tracking import StageRun, stage_run

__all__ = ["CARD", "CHECKSUMS", "LICENCE", "RESULT", "TABLE", "ExportResult", "export"]

CARD, CHECKSUMS, LICENCE, RESULT, TABLE = "README.md", "SHA256SUMS", "LICENSE", "export.json", "metadata.csv"
_AT_ONCE = 16
"""Images that are encoded and written at a time."""
_HELD = 256 << 20
"""Bytes of images that wait for other processes."""
_OF_A_WRITER = re.compile(r"\.lesiongen\.lock|\..+\.[0-9a-f]{16}\.partial", re.DOTALL)
"""Hidden files with which a folder is claimed and written to, and which are removed."""

_Image = tuple[bytes, dict[str, Any]]
"""An image file of the dataset, and its row of the plan."""


@dataclass(frozen=True)
class ExportResult:
    """A finished export: its folder or prefix, and what it holds."""

    uri: str
    record: ExportRecord

    @property
    def card(self) -> str:
        """Address of the dataset card."""
        return f"{self.uri}/{CARD}"


def export(config: ExportConfig, dataset_uri: str, output: str, evaluation_uri: str | None = None) -> ExportResult:
    """Writes synthetic images as files that say so, with a table, a card, a licence and checksums.

    The table of each split is in the columns of the ISIC archive, and the folder in the layout of Hugging Face's
    ``imagefolder``. No id of a patient, a lesion, a case or a training image leaves, and no address: images are
    numbered anew, and of their provenance only known fields are written (`lesiongen.exporting.provenance`).

    Args:
        config: What is exported.
        dataset_uri: Dataset of synthetic images.
        output: New folder or ``s3://`` prefix; export.json is written there last. Where it holds this very export, of a
            call that was killed once it had published it, nothing is written.
        evaluation_uri: The evaluation of these images, which names near copies; None: the card says that they were not
            looked for.

    Raises:
        UsageError: An image is not synthetic, a licence is missing, the evaluation is one of other images, or the
            output holds something else.
        DataError: The images may not be handed on together, a prompt names a patient, or a shard is damaged.
        StorageError: Something cannot be read or written.
    """
    dataset, storage = Dataset.open(dataset_uri), open_storage(output)
    if overlap(dataset_uri, output):
        raise UsageError(
            f"The output {output} is the dataset, or is inside it, or contains it", hint="Name a new folder."
        )
    copies = find_near_copies(dataset, evaluation_uri) if evaluation_uri is not None else None
    plan = plan_export(config, dataset, copies)
    _refuse_another(storage, plan, unless_alike=True)
    params = {**config.model_dump(), "dataset": dataset.uri, "evaluation": evaluation_uri}
    with claimed(storage) as claim, stage_run("export", params) as run:
        _refuse_another(storage, plan, unless_alike=claim.taken_over)
        if not storage.exists(RESULT):
            _publish(storage, plan, claim)
        return _report(run, storage)


def _refuse_another(storage: Storage, plan: ExportPlan, *, unless_alike: bool) -> None:
    """Refuses an output that holds something; an export that was made in the same way may be this very one."""
    if storage.exists(RESULT):
        with suppress(DataError):  # a file of something else
            there = read_export(storage.read_bytes(RESULT), f"{storage.uri}/{RESULT}")
            if unless_alike and there.made_as(plan.record):
                return
        raise already_holds(storage.uri, "an export")
    ours = {*plan.table["path"], *(f"{split}/{TABLE}" for split in plan.record.splits), CARD, CHECKSUMS, LICENCE}
    foreign = (key for key in _keys(storage) if key not in ours and not key.startswith(f"{CLAIMS}/"))
    if (first := next(foreign, None)) is not None:
        raise UsageError(
            f"{storage.uri} holds other files ({first}), which would be handed on with the export",
            hint="Name a new folder or prefix.",
        )


def _keys(storage: Storage) -> Iterator[str]:
    """Yields what an output holds, with hidden files, which the listing of a local folder leaves out."""
    if not isinstance(storage, LocalStorage):
        yield from (item.key for item in storage.list())
        return
    for path in sorted(storage.root.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and not _OF_A_WRITER.fullmatch(path.name):
            yield path.relative_to(storage.root).as_posix()


def _publish(storage: Storage, plan: ExportPlan, claim: Claim) -> None:
    record = plan.record.changed(created=datetime.now(UTC).isoformat(timespec="seconds"))
    with storage.publishing() as place:
        digests = _write_images(place, plan, claim)
        documents = {**_tables(plan), LICENCE: licence_file(record.name, record.licence, record.attribution)}
        documents[CARD] = dataset_card(record, plan.table["facts"].tolist())
        digests |= {name: _digest(text.encode()) for name, text in {**documents, RESULT: record.text()}.items()}
        documents[CHECKSUMS] = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        for name, text in documents.items():
            place.write_text(name, text)
        claim.check(ask=True)
        if place.create_bytes(RESULT, record.text().encode()) is Creation.TAKEN:
            raise already_holds(storage.uri, "an export")


def _write_images(place: Storage, plan: ExportPlan, claim: Claim) -> dict[str, str]:
    """Writes the image files, encoded on all cores unless they are few, and returns the SHA-256 of each by its path."""
    digests: dict[str, str] = {}
    processes = 1 if sum(shard.bytes for shard in plan.dataset.manifest.shards) < SMALL else None
    with (
        progress("Exporting", total=plan.record.images, unit="images") as bar,
        closing(in_processes(_encoded, _batches(plan), processes=processes, size=_bytes_of, most=_HELD)) as batches,
    ):
        for files in batches:
            claim.check()
            in_parallel(lambda file: place.write_bytes(*file), files)
            digests |= {path: _digest(data) for path, data in files}
            bar.advance(len(files))
    return digests


def _batches(plan: ExportPlan) -> Iterator[list[_Image]]:
    """Yields the images that are exported with their rows, a few at a time."""
    wanted = {row["row"]: row for row in plan.rows()}
    images = ((sample.image, wanted[row]) for row, sample in enumerate(plan.dataset.samples()) if row in wanted)
    while batch := list(islice(images, _AT_ONCE)):
        yield batch


def _encoded(batch: list[_Image]) -> list[tuple[str, bytes]]:
    """Returns the path and the content of each image file."""
    return [(row["path"], marked_png(image, row["facts"], row["licence"], row["attribution"])) for image, row in batch]


def _bytes_of(batch: list[_Image]) -> int:
    return sum(len(image) for image, _ in batch)


def _tables(plan: ExportPlan) -> dict[str, str]:
    """Returns the table of each split that has images, by its path."""
    rows: dict[str, list[list[object]]] = {split: [] for split in SPLITS}
    for row in plan.rows():
        file_name = row["path"].partition("/")[2]
        rows[row["split"]].append(isic_row(file_name, row, row["facts"], (row["licence"], row["attribution"])))
    return {f"{split}/{TABLE}": csv_table(COLUMNS, listed) for split, listed in rows.items() if listed}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _report(run: StageRun, storage: Storage) -> ExportResult:
    """Reports what is published, by this call or by one that was killed before it could."""
    record = read_export(storage.read_bytes(RESULT), f"{storage.uri}/{RESULT}")
    copies = record.near_copies
    run.log_metrics({"images": record.images or 0, "near_copies_left_out": (copies and copies.left_out) or 0})
    run.log_text(storage.read_text(CARD), CARD)
    return ExportResult(storage.uri, record)
