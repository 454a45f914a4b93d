"""Values and files that readers of tables choke on: a row is rejected with its reason, a file is named."""

import csv
import datetime
import io
import json
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesiongen import limits
from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.readers.isic_tables import _root
from lesiongen.ingestion.rows import Rejection
from lesiongen.ingestion.sources.source import open_source
from lesiongen.ingestion.tables.reading import TableRow, read_table
from lesiongen.storage import LocalStorage

pytestmark = pytest.mark.timeout(120)
LENIENT = IngestConfig(format="image_folder", on_error="reject", max_rejected=0.9)


def rows_of(path: Path) -> list[TableRow | Rejection]:
    return list(read_table(LocalStorage(str(path.parent)), path.name, ["file_name"]))


def reasons(path: Path) -> list[str | None]:
    return [row.reason if isinstance(row, Rejection) else None for row in rows_of(path)]


def write_parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def workbook(path: Path, rows: list[list[object]], change=lambda part: part) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, change(part) if name.startswith("xl/worksheets") else part)
    return path


@pytest.mark.parametrize(
    ("values", "rejected"),
    [
        pytest.param(pa.array([0, 2**62, 5], pa.timestamp("us")), "cannot be read", id="timestamp"),
        pytest.param(pa.array([0, 2**31 - 1, 5], pa.date32()), "cannot be read", id="date"),
        pytest.param(pa.array([[0], [2**62], []], pa.list_(pa.timestamp("us"))), "cannot be read", id="in a list"),
        pytest.param(
            pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).view(pa.string()), "cannot be read", id="text not UTF-8"
        ),
        pytest.param(pa.array([b"a", b"\xff\xfe", b"c"]), "cannot be written as text", id="bytes not UTF-8"),
    ],
)
def test_a_row_of_parquet_with_a_value_beyond_python_is_rejected_alone(tmp_path, values, rejected):
    path = write_parquet(tmp_path / "t.parquet", file_name=pa.array(["1.png", "2.png", "3.png"]), further=values)
    found = rows_of(path)
    assert [isinstance(row, TableRow) for row in found] == [True, False, True]
    assert found[1].row == 2
    assert rejected in found[1].reason


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([b"melanoma"]), "melanoma"),
        (pa.array([[b"a", None]]), '["a", null]'),
        (pa.array([[datetime.date(2020, 1, 2)]]), '["2020-01-02"]'),
        (pa.array([{"day": datetime.datetime(2020, 1, 2)}]), '{"day": "2020-01-02 00:00:00"}'),
    ],
)
def test_bytes_and_dates_in_parquet_are_text(tmp_path, values, text):
    (row,) = rows_of(write_parquet(tmp_path / "t.parquet", file_name=pa.array(["1.png"]), further=values))
    assert row.cells["further"] == text


@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_damage_anywhere_in_parquet_names_the_file(tmp_path, compression):
    whole = tmp_path / "t.parquet"
    table = pa.table({"file_name": [f"{number % 7}.png" for number in range(200)], "x": list(range(200))})
    pq.write_table(table, whole, compression=compression)
    data = whole.read_bytes()
    refused = 0
    for at in range(0, len(data), 13):
        whole.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            rows_of(whole)
        except DataError as error:
            assert "t.parquet" in str(error)  # noqa: PT017
            refused += 1
    assert refused > 20


def test_half_a_surrogate_pair_and_wrong_utf_8_in_json_are_rejected_rows(tmp_path, make_folder):
    good = {"file_name": "a.png", "label": "nv"}
    lines = [json.dumps(good).encode(), b'{"file_name": "b.png", "label": "\\ud800"}']
    lines += [b'{"file_name": "c.png", "label": "n\xff"}', b'{"file_name": "d.png", "label": ' + b"[" * 100_000]
    folder = make_folder(b"\n".join(lines), ["a.png", "b.png", "c.png", "d.png"], table_name="metadata.jsonl")
    found = reasons(folder / "metadata.jsonl")
    assert found[0] is None
    assert ["surrogate" in found[1], "UTF-8" in found[2], "JSON" in found[3]] == [True] * 3
    assert ingest(LENIENT, str(folder), str(tmp_path / "out")).accepted == 1
    with (tmp_path / "out" / "rejected.csv").open(encoding="utf-8", newline="") as file:
        assert any("surrogate" in row["reason"] for row in csv.DictReader(file))


def test_a_name_that_is_not_utf_8_is_listed_as_text(tmp_path, make_folder):
    folder = make_folder("file_name,label\na.png,nv\n", ["a.png"])
    (folder / "a.png").with_name("b\udcff.png").write_bytes((folder / "a.png").read_bytes())
    result = ingest(LENIENT, str(folder), str(tmp_path / "out"))
    assert [item.file for item in result.rejected] == ["bÿ.png"]
    assert "bÿ.png" in (tmp_path / "out" / "rejected.csv").read_text(encoding="utf-8")


def test_an_xlsx_whose_row_has_a_huge_number_is_refused(tmp_path):
    rows = [["file_name", "label"], ["a.png", "nv"], ["b.png", "nv"]]
    path = workbook(tmp_path / "t.xlsx", rows, lambda part: part.replace(b'<row r="3"', b'<row r="2000000000"'))
    with pytest.raises(DataError, match=r"t\.xlsx has more than 1,048,576 rows .*MAX_WORKBOOK_ROWS"):
        rows_of(path)


def test_a_date_of_xlsx_without_meaning_is_no_warning(tmp_path):
    rows = [["file_name", "day"], ["a.png", datetime.datetime(2020, 1, 2)]]
    path = workbook(tmp_path / "t.xlsx", rows, lambda part: part.replace(b"<v>43832</v>", b"<v>1e300</v>"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (row,) = rows_of(path)
    assert row.cells["day"] == "#VALUE!"


@pytest.mark.parametrize(
    ("limit", "name", "data"),
    [
        ("MAX_ROWS", "t.csv", b"file_name\n" + b"a\n" * 11),
        ("MAX_ROWS", "t.jsonl", b'{"file_name": "a"}\n' * 11),
        ("MAX_LINE", "t.csv", b"file_name\n" + b"a" * 11),
        ("MAX_LINE", "t.jsonl", b'{"file_name": "a"}'),
        ("MAX_TABLE_BYTES", "t.csv", b"file_name\n" + b"a\n" * 11),
        ("MAX_COLUMNS", "t.csv", b"file_name" + b",a" * 11),
    ],
)
def test_a_table_beyond_a_limit_is_named_with_it(tmp_path, monkeypatch, limit, name, data):
    monkeypatch.setattr(limits, limit, 10)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name} has .*more than .*10 .*{limit}"):
        rows_of(tmp_path / name)


def test_a_label_or_a_cell_that_is_too_long_is_a_rejected_row(tmp_path, make_folder):
    folder = make_folder(f"file_name,label\na.png,nv\nb.png,{'x' * 4000}\n", ["a.png", "b.png"])
    (rejected,) = ingest(LENIENT, str(folder), str(tmp_path / "out")).rejected
    assert "4,000 characters, more than the 1,000 allowed" in rejected.reason
    (tmp_path / "t.jsonl").write_text(json.dumps({"file_name": "a", "x": "y" * 200_000}) + "\n")
    assert "MAX_CELL_CHARACTERS" in reasons(tmp_path / "t.jsonl")[0]


@pytest.mark.parametrize("text", ["[" * 100_000, "x" * 200_000, '{"a":' * 50_000])
def test_concepts_that_cannot_be_read_are_a_data_error(text):
    with pytest.raises(DataError, match="invalid report"):
        read_report(text)


def test_concepts_of_brackets_are_a_rejected_row(tmp_path, make_folder):
    folder = make_folder(f"file_name,label,concepts\na.png,nv,\nb.png,nv,{'[' * 90_000}\n", ["a.png", "b.png"])
    (rejected,) = ingest(LENIENT, str(folder), str(tmp_path / "out")).rejected
    assert rejected.column == "concepts"
    assert len(Dataset.open(str(tmp_path / "out"))) == 1


def pax_header(body: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("header")
    info.size, info.type = len(body), kind
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def member(name: str = "a.png", size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(size + -size % 512)


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    size = next(size for size in range(len(body), len(body) + 9) if len(str(size)) + len(body) == size)
    return str(size).encode() + body


def negative_size() -> bytes:
    header = bytearray(member())
    header[124:136] = struct.pack(">i", -1024).rjust(12, b"\xff")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(pax_header(b"1" * (8 << 20)) + member(), "MAX_TAR_HEADER_BYTES", id="long"),
        pytest.param(pax_header(b"1" * 60_000) + member(), "damaged", id="of digits"),
        pytest.param(pax_header(record("comment", "1" * 60_000)) + member(), "damaged", id="of digits in order"),
        pytest.param(pax_header(b"2 " * 30_000 + b"a=") + member(), "damaged", id="overlapping"),
        pytest.param(pax_header(record("comment", "x")) * 500 + member(), "MAX_TAR_HEADERS", id="chained"),
        pytest.param(pax_header(b"a" * 300, tarfile.GNUTYPE_LONGNAME) * 500 + member(), "MAX_TAR_HEADERS", id="names"),
        pytest.param(negative_size(), "bytes", id="negative"),
        pytest.param(member("a/" * 200 + "a.png"[:1]), "MAX_FOLDERS", id="folders"),
    ],
)
def test_a_tar_of_hostile_headers_is_refused(tmp_path, data, words):
    path = tmp_path / "bad.tar"
    path.write_bytes(data + bytes(1024))
    with pytest.raises(DataError, match=words) as caught, open_source(str(path)):
        pass
    assert "bad.tar" in str(caught.value)


def test_long_and_global_headers_of_honest_archivers_are_read(tmp_path):
    long_name = "/".join(["pictures of the clinic"] * 12) + "/läsion.png"
    data = pax_header(record("comment", "1234567890" * 8), tarfile.XGLTYPE) + pax_header(record("path", long_name))
    (tmp_path / "good.tar").write_bytes(data + member() + bytes(1024))
    with open_source(str(tmp_path / "good.tar")) as source:
        assert [item.key.endswith("läsion.png") for item in source.list()] == [True]


def zip_of_empty_members(count: int) -> bytes:
    entry = struct.Struct("<4s24xHHH12x").pack(b"PK\x01\x02", 0, 0, 0)
    directory = entry * count
    end = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
    return directory + end + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)


@pytest.mark.parametrize("name", ["many.zip", "many.xlsx"])
def test_a_zip_of_millions_of_members_is_refused_before_it_is_opened(tmp_path, monkeypatch, name):
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was opened"))
    (tmp_path / name).write_bytes(zip_of_empty_members(2_100_000))
    with pytest.raises(DataError, match=rf"{name} holds more than 500,000 members \(MAX_MEMBERS\)"):
        if name.endswith("xlsx"):
            rows_of(tmp_path / name)
        else:
            open_source(str(tmp_path / name)).__enter__()


def test_the_count_of_members_does_not_rest_on_what_the_end_states(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_MEMBERS", 2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", b"")
    data = bytearray(buffer.getvalue())
    data[-14:-10] = b"\1\0\1\0"
    (tmp_path / "lies.zip").write_bytes(data)
    with pytest.raises(DataError, match="more than 2 members"), open_source(str(tmp_path / "lies.zip")):
        pass


def test_a_long_chain_of_twins_is_followed_once():
    twins = {f"{number:06d}": f"{max(0, number - 1):06d}" for number in range(100_000)}
    assert {_root(twins, image) for image in list(twins)[::-1]} == {"000000"}
