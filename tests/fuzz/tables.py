"""Tables in the four formats that are read, of foreign values and of damaged bytes."""

import csv
import datetime
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from lesiongen.ingestion import IngestConfig
from lesiongen.ingestion.formats import reader_for
from lesiongen.ingestion.tables.reading import read_table
from lesiongen.storage import LocalStorage
from tests.fuzz.mutation import NUMBERS, TEXTS, VALUES, damaged
from tests.ingestion.miniatures import opened

COLUMNS = (
    "file_name",
    "diagnosis",
    "age",
    "sex",
    "skin_tone",
    "split",
    "lesion_id",
    "patient_id",
    "concepts",
    "caption",
)
KINDS = ("csv", "xlsx", "jsonl", "parquet")


def row(rng: random.Random, number: int) -> dict[str, object]:
    """Returns a row of which most is in order."""
    values: dict[str, object] = {
        "file_name": f"{number}.png", "diagnosis": rng.choice(("nv", "mel")), "age": rng.choice(("45", "", "120")),
        "sex": "male", "lesion_id": f"l{number // 2}", "patient_id": f"p{number // 3}",
    }  # fmt: skip
    for column in COLUMNS:
        if rng.random() < 0.06:
            values[column] = rng.choice(VALUES)
    return values


def write(rng: random.Random, path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Writes rows in the format that the name says, and damages what was written now and then."""
    writers = {".csv": _csv, ".xlsx": _xlsx, ".jsonl": _jsonl, ".parquet": _parquet}
    data = writers[path.suffix](rng, rows)
    path.write_bytes(damaged(rng, data) if rng.random() < 0.5 else data)


def _csv(rng: random.Random, rows: Sequence[dict[str, object]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, delimiter=rng.choice(",,,,;\t"))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def _jsonl(rng: random.Random, rows: Sequence[dict[str, object]]) -> bytes:
    lines = [json.dumps(each) for each in rows]
    if rng.random() < 0.1:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(TEXTS).encode("utf-8", "replace").decode())
    return "\n".join(lines).encode()


def _xlsx(rng: random.Random, rows: Sequence[dict[str, object]]) -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    book.active.append(COLUMNS)
    for each in rows:
        cells = [each.get(column) for column in COLUMNS]
        try:
            book.active.append([_cell(value) for value in cells])
        except (ValueError, openpyxl.utils.exceptions.IllegalCharacterError):
            continue
    book.active["K2"] = datetime.datetime(2020, 1, 2)
    book.save(buffer)
    with zipfile.ZipFile(buffer) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    name = rng.choice(list(parts))
    parts[name] = _other_numbers(rng, parts[name]) if rng.random() < 0.5 else damaged(rng, parts[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as changed:
        for each, part in parts.items():
            changed.writestr(each, part)
    return buffer.getvalue()


def _cell(value: object) -> float | str | None:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int) and abs(value) < 2**70:
        return float(value)
    return str(value)[:3000].encode("utf-8", "replace").decode()  # half a surrogate pair is in no workbook


def _other_numbers(rng: random.Random, part: bytes) -> bytes:
    """Replaces numbers within XML: rows, columns, styles, indexes of texts."""
    places = [at for at, byte in enumerate(part) if 48 <= byte <= 57]
    for at in sorted(rng.sample(places, min(len(places), rng.randint(1, 4))), reverse=True):
        part = part[:at] + str(rng.choice((*NUMBERS, -1, 1e300))).encode() + part[at + 1 :]
    return part


def _parquet(rng: random.Random, rows: Sequence[dict[str, object]]) -> bytes:
    count = len(rows)
    names = [text if isinstance(text := each.get("file_name"), str) else "x" for each in rows]
    arrays: dict[str, pa.Array] = {
        "file_name": pa.array([name.encode("utf-8", "replace") for name in names]).cast("string")
    }
    makers = (
        lambda: pa.array([rng.choice(NUMBERS) % 2**63 for _ in range(count)], pa.int64()).cast(pa.timestamp("us")),
        lambda: pa.array([rng.choice(NUMBERS) % 2**31 for _ in range(count)], pa.int32()).view(pa.date32()),
        lambda: pa.array([rng.randbytes(rng.randint(0, 4)) for _ in range(count)]),
        lambda: pa.array([rng.randbytes(rng.randint(0, 4)) for _ in range(count)], pa.binary()).view(pa.string()),
        lambda: pa.array([[b"a", None]] * count),
        lambda: pa.array([[datetime.date(2020, 1, 2)]] * count),
        lambda: pa.array([{"a": [1.5, None]}] * count),
        lambda: pa.array([rng.choice((1.5, float("nan"), float("inf"))) for _ in range(count)]),
        lambda: pa.array([rng.choice(NUMBERS) % 2**63 for _ in range(count)], pa.int64()).cast(pa.duration("ns")),
        lambda: pa.array([f"{number % 3}" for number in range(count)]).dictionary_encode(),
    )
    for column in ("diagnosis", *rng.sample(COLUMNS[2:], 4)):
        arrays[column] = rng.choice(makers)()
    if rng.random() < 0.8:
        arrays["diagnosis"] = pa.array(["nv"] * count)
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression=rng.choice(("snappy", "zstd", "gzip", "none")))
    return buffer.getvalue()


def build(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a table beside which no image lies; it is read as such and by the reader of image folders."""
    path = folder / f"metadata.{rng.choice(KINDS)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(rng, path, [row(rng, number) for number in range(rng.choice((0, 1, 5, 30)))])

    def act() -> None:
        list(read_table(LocalStorage(str(folder)), path.name, ["file_name"]))
        options = {"table": path.name} if path.suffix == ".xlsx" else {}
        list(reader_for(IngestConfig(format="image_folder", options=options)).read(opened(folder)))

    return act
