"""The ingest stage: a collection becomes a dataset."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lesiongen import limits
from lesiongen.dataset import Dataset, DatasetWriter, Sample, resolve_diagnosis
from lesiongen.dataset.examinations import keep_examinations
from lesiongen.dataset.licences import combine_licences
from lesiongen.dataset.near_duplicates import keep_near_duplicates
from lesiongen.imaging import LOOK_ALIKE, near_duplicates, pairs_among
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.formats import reader_for
from lesiongen.ingestion.loading import load_images
from lesiongen.ingestion.notes import source_notes
from lesiongen.ingestion.output import check_output, check_output_behind_links
from lesiongen.ingestion.rejections import check_rejections, forget_kept_aside, left_out_tables
from lesiongen.ingestion.removed_metadata import REMOVED_NAME, removed_counts, removed_table
from lesiongen.ingestion.rows import UNKNOWN_DIAGNOSIS, Field, Reader, Rejection, Row
from lesiongen.ingestion.sources.file_names import readable_path
from lesiongen.ingestion.sources.source import Source, name_of, open_source
from lesiongen.ingestion.splitting import (
    LoadedRow,
    check_official_split,
    diagnosis_of,
    shares_note,
    split_rows,
    untrained_note,
)
from lesiongen.ingestion.spool import Spool
from lesiongen.names import name_from
from lesiongen.records.origin import IngestOrigin
from lesiongen.references import DatasetReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import claimed, open_storage, temporary_space
from lesiongen.tracking import stage_run

__all__ = ["IngestResult", "ingest"]

_LIMITS = {
    **dict.fromkeys(("caption", "attribution", "licence"), "MAX_TEXT_CHARACTERS"),
    "concepts": "MAX_REPORT_CHARACTERS",
}
"""The limits of what is longer than a label."""


@dataclass(frozen=True)
class IngestResult:
    """Result of an ingest.

    Attributes:
        dataset: The dataset.
        accepted: Rows in it.
        rejected: Rows that could not be used.
        left_out: Rows whose image is not at hand, and rows that the collection's own authors exclude.
        removed_metadata: Images for each kind of thing, removed from their files, that could identify a person.
        notes: What else the user should know of the source and of how it was read, in sentences.
    """

    dataset: DatasetReference
    accepted: int
    rejected: list[Rejection]
    left_out: list[Rejection]
    removed_metadata: dict[str, int]
    notes: list[str]


def ingest(config: IngestConfig, source: str, output: str) -> IngestResult:
    """Reads a collection, checks every row and image, splits it by lesion and patient, and publishes a dataset.

    Tables are checked before any image is opened. Images that show the same pixels share a split, whatever their
    names. Nothing is visible at ``output`` unless all went well. Where it holds the very dataset, of a call that was
    killed once it had published it, that one is kept.

    Args:
        config: How to read it.
        source: Folder, ``s3://`` prefix, or zip or tar archive of the collection (`open_source`).
        output: New folder or prefix of the dataset, apart from the source (`check_output`).

    Raises:
        UsageError: The source does not exist, or the output is not a new place apart from it and from what it links to.
        DataError: The collection cannot be understood, or rows of it cannot be used; the message names them.
    """
    check_output(source, output)
    described = {**config.model_dump(), "source": readable_path(source)}
    name = config.name or name_from(name_of(source))
    target = open_storage(output)
    with claimed(target), stage_run("ingest", described | {"name": name}) as run:
        with open_source(source) as storage:
            check_output_behind_links(storage.link_targets, output)
            result = _ingest(config, storage, output, name)
        counts = {"accepted": result.accepted, "rejected": len(result.rejected), "left_out": len(result.left_out)}
        removed = {f"removed_metadata.{kind}": count for kind, count in result.removed_metadata.items()}
        run.log_metrics(counts | removed)
        run.log_json(result.dataset.model_dump(), "dataset.json")
    return result


def _ingest(config: IngestConfig, storage: Source, output: str, name: str) -> IngestResult:
    forget_kept_aside(storage)
    reader = reader_for(config)
    writer = DatasetWriter(
        output,
        name=name,
        origin=IngestOrigin(stage="ingest", source=storage.uri, config=config.model_dump(mode="json")),
    )
    with writer, Spool() as spool:
        rows, left_out = _read_rows(config, reader, storage)
        check_rejections(config, storage, len(rows), left_out)
        drawn = _draw(config, rows)
        check_official_split(config, storage, drawn)
        images = load_images(storage, drawn, spool)
        loaded, unusable = images.rows, images.rejected
        # Of a table that was drawn from, its own rejected rows say nothing about the few that were drawn.
        judged = [*left_out, *unusable] if drawn is rows else unusable
        check_rejections(config, storage, len(loaded), judged)
        left_out += unusable
        writer.licence, writer.attribution = _terms(reader, loaded)
        writer.origin = writer.origin.changed(removed_metadata=removed_counts(loaded))
        with temporary_space():
            alike = near_duplicates(images.examinations.prints, least=LOOK_ALIKE)
        splits = split_rows(config, loaded, alike)
        of_splits = [*shares_note(config, loaded, splits), *untrained_note(loaded, splits)]
        if notes := [*reader.notes, *source_notes(storage, loaded), *of_splits]:
            writer.origin = writer.origin.changed(notes=notes)
        for item, split in zip(loaded, splits, strict=True):
            if split is None:
                left_out.append(item.row.reject(None, _SYNTHETIC_HELD_OUT, "excluded"))
            else:
                writer.add(_sample(reader, item.row, spool.get(item.place), split))
        kept = {loaded[place].row.image_id: place for place, split in enumerate(splits) if split is not None}
        keep_near_duplicates(writer, list(kept), pairs_among(alike, len(loaded), list(kept.values())))
        keep_examinations(writer, kept, images.examinations.table(), images.examinations.prints)
        writer.documents |= {**left_out_tables(left_out), REMOVED_NAME: removed_table(loaded)}
    dataset = Dataset.open(output)
    return IngestResult(
        dataset.reference(),
        len(dataset),
        [item for item in left_out if item.kind == "rejected"],
        [item for item in left_out if item.kind != "rejected"],
        removed_counts(loaded),
        notes,
    )


_SYNTHETIC_HELD_OUT = "is synthetic or a reconstruction, and belongs together with a real image outside the train split"


def _terms(reader: Reader, loaded: Sequence[LoadedRow]) -> tuple[str | None, str | None]:
    """Returns the licence of the whole, the strictest where rows state several, and everybody to be named."""
    licences = list(dict.fromkeys(item.row.values.get("licence", reader.licence) for item in loaded))
    names = dict.fromkeys(item.row.values.get("attribution", reader.attribution) for item in loaded)
    licence = licences[0] if len(licences) == 1 else combine_licences(map(_text, licences)).text
    return _text(licence), "; ".join(str(name) for name in names if name) or None


def _text(value: str | float | None) -> str | None:
    return None if value is None else str(value)


def _read_rows(config: IngestConfig, reader: Reader, storage: Source) -> tuple[list[Row], list[Rejection]]:
    rows: dict[str, Row] = {}
    rejected: list[Rejection] = []
    for item in reader.read(storage):
        checked = _check(item, rows, config) if isinstance(item, Row) else item
        if isinstance(checked, Row):
            rows[checked.image_id] = checked
        else:
            rejected.append(checked)
    kept, ambiguous = _one_patient_a_lesion(rows.values())
    return kept, rejected + ambiguous


def _check(row: Row, earlier: dict[str, Row], config: IngestConfig) -> Row | Rejection:
    if not row.diagnosis.text:
        return row.reject(row.diagnosis, "is blank; every image needs a diagnosis")
    if too_long := _too_long(row):
        return too_long
    if row.image_id in earlier:
        first = earlier[row.image_id]
        where = f"first used in row {first.line}" if first.line else f"first used by {first.image_key}"
        return row.reject(row.image_field, f"duplicate image_id {row.image_id!r}, {where}")
    unknown = "diagnosis" not in row.values and resolve_diagnosis(row.diagnosis.text) is None
    if config.unknown_diagnosis == "reject" and unknown:
        return row.reject(row.diagnosis, UNKNOWN_DIAGNOSIS)
    return row


def _too_long(row: Row) -> Rejection | None:
    """Returns the rejection of a row whose image_id, label or other value is longer than a dataset takes."""
    texts = {"image_id": row.image_id, "diagnosis": row.diagnosis.text, **row.values}
    for name, text in texts.items():
        limit = _LIMITS.get(name, "MAX_LABEL_CHARACTERS")
        if isinstance(text, str) and len(text) > (most := getattr(limits, limit)):
            shown = row.diagnosis if name == "diagnosis" else Field(name, text)
            return row.reject(shown, f"has {len(text):,} characters, more than the {most:,} allowed ({limit})")
    return None


def _one_patient_a_lesion(rows: Collection[Row]) -> tuple[list[Row], list[Rejection]]:
    """Tells apart lesions that share a number but not a patient (some tables number each patient's lesions from 1).

    A row of such a number that names no patient may belong to any of them, and would leak from one split to another:
    it is rejected.
    """
    patients: dict[object, set[object]] = {}
    for row in rows:
        # A blank does not mean a second patient: the row may well belong to the one that is named.
        if patient := row.values.get("patient_id"):
            patients.setdefault(row.values.get("lesion_id"), set()).add(patient)
    kept, rejected = [], []
    for row in rows:
        lesion, patient = row.values.get("lesion_id"), row.values.get("patient_id")
        shared = bool(lesion) and len(patients.get(lesion, ())) > 1
        if shared and not patient:
            reason = f"names no patient, and several patients have a lesion {lesion}: it could not be kept with its own"
            rejected.append(row.reject(None, reason))
            continue
        if shared:
            row.values["lesion_id"] = f"{patient}/{lesion}"
        kept.append(row)
    return kept, rejected


def _draw(config: IngestConfig, rows: list[Row]) -> list[Row]:
    if config.limit is None or len(rows) <= config.limit:
        return rows
    drawn = sorted(rows, key=lambda row: derive_seed(config.seed, "limit", row.image_id))[: config.limit]
    kept = {row.image_id for row in drawn}
    return [row for row in rows if row.image_id in kept]


def _sample(reader: Reader, row: Row, data: bytes, split: str) -> Sample:
    collection = {"source": reader.source, "licence": reader.licence, "attribution": reader.attribution}
    values = collection | row.values | {"diagnosis": diagnosis_of(row)}
    return Sample(
        image=data,
        image_id=row.image_id,
        original_diagnosis=row.diagnosis.text,
        split=split,
        **values,  # type: ignore[arg-type]
    )
