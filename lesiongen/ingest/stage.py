"""The ingest stage: a collection becomes a dataset."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pandas as pd

from lesiongen.dataset import Dataset, DatasetWriter, Sample, assign_splits, resolve_diagnosis
from lesiongen.errors import DataError, UsageError
from lesiongen.ingest.config import IngestConfig
from lesiongen.ingest.formats import reader_for
from lesiongen.ingest.pictures import Picture, Spool, clean
from lesiongen.ingest.rejections import check_rejections, write_rejections
from lesiongen.ingest.rows import Reader, Rejection, Row
from lesiongen.ingest.sources import open_source
from lesiongen.progress import progress
from lesiongen.references import DatasetReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import Storage
from lesiongen.tracking import stage_run

__all__ = ["IngestResult", "ingest"]

PARALLEL_READS = 8
WINDOW = 4 * PARALLEL_READS


@dataclass(frozen=True)
class IngestResult:
    """What came of it.

    Attributes:
        dataset: The dataset.
        accepted: Rows in it.
        rejected: Rows that could not be used.
        left_out: Rows whose image is not at hand, and rows that the collection's own authors exclude.
    """

    dataset: DatasetReference
    accepted: int
    rejected: list[Rejection]
    left_out: list[Rejection]


@dataclass(frozen=True)
class _Loaded:
    row: Row
    digest: str
    place: slice


def ingest(config: IngestConfig, source: str, output: str) -> IngestResult:
    """Reads a collection, checks every row and image, splits it by lesion and patient, and publishes a dataset.

    Tables are checked before any image is opened. Images that show the same pixels share a split, whatever their
    names. Nothing is visible at ``output`` unless all went well.

    Args:
        config: How to read it.
        source: Folder, ``s3://`` prefix, or zip or tar archive of the collection (`open_source`).
        output: New folder or prefix of the dataset.

    Raises:
        UsageError: The source does not exist, or the output holds a dataset already.
        DataError: The collection cannot be understood, or rows of it cannot be used; the message names them.
    """
    with stage_run("ingest", {**config.model_dump(), "source": source}) as run:
        with open_source(source) as storage:
            result = _ingest(config, storage, output)
        counts = {"accepted": result.accepted, "rejected": len(result.rejected), "left_out": len(result.left_out)}
        run.log_metrics(counts)
        run.log_json(result.dataset.model_dump(), "dataset.json")
    return result


def _ingest(config: IngestConfig, storage: Storage, output: str) -> IngestResult:
    reader = reader_for(config)
    writer = DatasetWriter(
        output,
        name=config.name,
        licence=reader.licence,
        attribution=reader.attribution,
        origin={"stage": "ingest", "source": storage.uri, "config": config.model_dump(mode="json")},
    )
    with writer, Spool() as spool:
        rows, rejected = _read_rows(config, reader, storage)
        check_rejections(config, storage.uri, len(rows), rejected)
        rows = _draw(config, rows)
        loaded, unusable = _load_images(storage, rows, spool)
        rejected += unusable
        check_rejections(config, storage.uri, len(rows) - len(unusable), rejected)
        for item, split in zip(loaded, _splits(config, loaded), strict=True):
            writer.add(_sample(reader, item, spool.get(item.place), split))
        if rejected:
            write_rejections(writer.storage, rejected)
    errors = [item for item in rejected if item.kind == "rejected"]
    left_out = [item for item in rejected if item.kind != "rejected"]
    return IngestResult(Dataset.open(output).reference(), len(loaded), errors, left_out)


def _read_rows(config: IngestConfig, reader: Reader, storage: Storage) -> tuple[list[Row], list[Rejection]]:
    rows: dict[str, Row] = {}
    rejected: list[Rejection] = []
    for item in reader.read(storage):
        checked = _check(item, rows, config) if isinstance(item, Row) else item
        if isinstance(checked, Row):
            rows[checked.image_id] = checked
        else:
            rejected.append(checked)
    return _one_patient_a_lesion(list(rows.values())), rejected


def _check(row: Row, earlier: dict[str, Row], config: IngestConfig) -> Row | Rejection:
    if not row.diagnosis.text:
        return row.reject(row.diagnosis, "is blank; every image needs a diagnosis")
    if row.image_id in earlier:
        first = earlier[row.image_id]
        where = f"stands in row {first.line}" if first.line else f"is that of {first.image_key}"
        return row.reject(row.image_field, f"the image_id {where} already")
    unknown = "diagnosis" not in row.values and resolve_diagnosis(row.diagnosis.text) is None
    if config.unknown_diagnosis == "reject" and unknown:
        return row.reject(row.diagnosis, "is no known diagnosis (--unknown-diagnosis keep takes it as it is)")
    return row


def _one_patient_a_lesion(rows: list[Row]) -> list[Row]:
    """Tells apart lesions that share a number but not a patient (some tables count lesions anew in each)."""
    patients: dict[object, set[object]] = {}
    for row in rows:
        # A blank is no second patient: the row may well belong to the one that is named.
        if patient := row.values.get("patient_id"):
            patients.setdefault(row.values.get("lesion_id"), set()).add(patient)
    for row in rows:
        lesion, patient = row.values.get("lesion_id"), row.values.get("patient_id")
        if lesion and patient and len(patients[lesion]) > 1:
            row.values["lesion_id"] = f"{patient}/{lesion}"
    return rows


def _draw(config: IngestConfig, rows: list[Row]) -> list[Row]:
    if config.limit is None or len(rows) <= config.limit:
        return rows
    drawn = sorted(rows, key=lambda row: derive_seed(config.seed, "limit", row.image_id))[: config.limit]
    kept = {row.image_id for row in drawn}
    return [row for row in rows if row.image_id in kept]


def _load_images(storage: Storage, rows: Sequence[Row], spool: Spool) -> tuple[list[_Loaded], list[Rejection]]:
    loaded: list[_Loaded] = []
    rejected: list[Rejection] = []
    with progress("Reading images", total=len(rows), unit="images") as bar:
        for row, picture in _pictures(storage, rows):
            if isinstance(picture, Picture):
                loaded.append(_Loaded(row, picture.digest, spool.put(picture.data)))
            else:
                rejected.append(picture)
            bar.advance()
    return loaded, rejected


def _pictures(storage: Storage, rows: Sequence[Row]) -> Iterator[tuple[Row, Picture | Rejection]]:
    """Reads several images at once but holds few: a window of rows at a time, in order."""
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        for start in range(0, len(rows), WINDOW):
            window = rows[start : start + WINDOW]
            yield from zip(window, pool.map(lambda row: _picture(storage, row), window), strict=True)


def _picture(storage: Storage, row: Row) -> Picture | Rejection:
    try:
        return clean(storage.read_bytes(row.image_key))
    except DataError as error:  # an ImageError, or a damaged member of an archive
        return row.reject(row.image_field, f"the image {row.image_key} cannot be used: {error}")
    except UsageError:  # a link that points outside the source
        return row.reject(row.image_field, f"the image {row.image_key} leads out of the source folder")


def _splits(config: IngestConfig, loaded: Sequence[_Loaded]) -> list[str]:
    table = pd.DataFrame(
        {
            "image_id": item.row.image_id,
            "diagnosis": _diagnosis(item.row),
            "content_digest": item.digest,
            **{name: item.row.values.get(name) for name in _SPLIT_COLUMNS},
        }
        for item in loaded
    )
    if config.keep_official_split and table["official_split"].isna().all():
        raise UsageError("keep_official_split is asked for, but no row of the source has a published split")
    splits = assign_splits(
        table, seed=config.seed, fractions=config.split_fractions, keep_official=config.keep_official_split
    )
    return [str(split) for split in splits]


_SPLIT_COLUMNS = ("lesion_id", "patient_id", "case_id", "official_split")


def _diagnosis(row: Row) -> str:
    if own := row.values.get("diagnosis"):
        return str(own)
    return resolve_diagnosis(row.diagnosis.text) or row.diagnosis.text


def _sample(reader: Reader, item: _Loaded, data: bytes, split: str) -> Sample:
    row = item.row
    collection = {"source": reader.source, "licence": reader.licence, "attribution": reader.attribution}
    values = collection | row.values | {"diagnosis": _diagnosis(row)}
    return Sample(
        image=data,
        image_id=row.image_id,
        original_diagnosis=row.diagnosis.text,
        split=split,
        **values,  # type: ignore[arg-type]
    )
