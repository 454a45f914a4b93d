"""Tables of every format, harmed: other separators, quotes, encodings, blank cells, any bytes at all."""

import csv
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.formats import reader_for
from lesiongen.ingestion.rows import Rejection, Row
from lesiongen.ingestion.sources.source import Source
from lesiongen.storage import LocalStorage, StoredObject

from . import miniatures
from .cases import CASES, accepted, refused, rows_of


def test_a_missing_column_is_named(case, source, tmp_path):
    path = source / case.table
    rows = [{name: cell for name, cell in row.items() if name != case.diagnosis} for row in rows_of(path)]
    miniatures.write_csv(path, tuple(rows[0]), rows)
    message = refused(case, source, tmp_path)
    assert case.table in message
    assert case.diagnosis in message


def test_another_delimiter_is_named(case, source, tmp_path):
    path = source / case.table
    rows = rows_of(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, tuple(rows[0]), delimiter=";")
        table.writeheader()
        table.writerows(rows)
    assert f"{case.table} is separated by semicolons, not by commas" in refused(case, source, tmp_path)


@pytest.mark.parametrize("closing", ["", 'x"y'])
def test_a_quote_that_nothing_closes_takes_no_rows_with_it(case, source, tmp_path, closing):
    path = source / case.table
    lines = path.read_text(encoding="utf-8").splitlines()
    cells, _, last = lines[3].rpartition(",")
    lines[3] = f'{cells},"{last}'
    lines[6] += closing
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert f"{case.table}, row 4: a quote opens in this row" in refused(case, source, tmp_path, on_error="reject")


def test_a_quoted_cell_of_several_lines_is_one_cell_and_rows_are_counted_by_lines(tmp_path):
    source = miniatures.image_folder(tmp_path / "source")
    rows = rows_of(source / "metadata.csv")
    rows[1]["caption"], rows[3]["diagnosis"] = 'a "dark" lesion,\nof two colours', "moon rash"
    columns = tuple(dict.fromkeys([*rows[0], "caption"]))
    miniatures.write_csv(source / "metadata.csv", columns, [dict.fromkeys(columns, "") | row for row in rows])
    config = IngestConfig(format="image_folder", unknown_diagnosis="reject", on_error="reject", max_rejected=0.5)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert [(item.row, item.value) for item in result.rejected] == [(6, "moon rash")]
    assert list(Dataset.open(str(tmp_path / "out")).metadata(["caption"])["caption"].dropna()) == [rows[1]["caption"]]


def test_a_byte_order_mark_does_not_matter(case, source, tmp_path):
    path = source / case.table
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert accepted(case, source, tmp_path).rejected == []


class Listed(LocalStorage):
    """A folder with a table whose images are listed and never opened."""

    def __init__(self, folder: Path, images: list[str]) -> None:
        super().__init__(str(folder))
        self.images = images

    def list(self, prefix: str = ""):
        yield from super().list(prefix)
        yield from (StoredObject(name, 1000) for name in self.images)


def test_a_hundred_thousand_rows_are_all_read(case, source):
    path = source / case.table
    first = rows_of(path)[0]
    stems = [f"{number:032x}" if case.format == "fitzpatrick17k" else f"row{number}" for number in range(100_000)]
    names = [stem + Path(first[case.names]).suffix for stem in stems]
    miniatures.write_csv(path, tuple(first), [first | {case.names: name} for name in names])
    storage = Listed(source, [f"pictures/{stem}.png" for stem in stems])
    items = reader_for(IngestConfig(format=case.format)).read(Source(storage, ExitStack()))
    assert set(range(2, 100_002)) <= {item.line if isinstance(item, Row) else item.row for item in items}


CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "nan", "-1", "nv", "MEL", "melanoma", "../a.png", "000001.png", "55", "male", "VI"]),
    st.text(st.characters(codec="utf-8"), max_size=10),
)


@pytest.fixture(scope="module")
def miniature_of(tmp_path_factory) -> dict[str, Path]:
    return {case.format: case.build(tmp_path_factory.mktemp(case.format) / "source") for case in CASES}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cells_make_rows_or_rejections_or_one_clear_error(miniature_of, case, data):
    source = miniature_of[case.format]
    path = source / case.table
    whole, before = rows_of(path), path.read_bytes()
    rows = [
        row | {name: data.draw(CELLS) for name in data.draw(st.sets(st.sampled_from(list(row)), max_size=4))}
        for row in whole[:4]
    ]
    try:
        miniatures.write_csv(path, tuple(whole[0]), rows)
        for item in reader_for(IngestConfig(format=case.format)).read(miniatures.opened(source)):
            assert isinstance(item, Row | Rejection)
    except DataError as error:
        assert str(error)
    finally:
        path.write_bytes(before)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), keep=st.integers(0, 400))
def test_any_bytes_as_a_table_are_refused_in_words(miniature_of, case, content, keep):
    source = miniature_of[case.format]
    path = source / case.table
    before = path.read_bytes()
    try:
        path.write_bytes(before[:keep] + content)
        for item in reader_for(IngestConfig(format=case.format)).read(miniatures.opened(source)):
            assert isinstance(item, Row | Rejection)
    except DataError as error:
        assert str(error)
    finally:
        path.write_bytes(before)


def test_the_commas_of_blank_columns_and_rows_that_a_spreadsheet_leaves_do_not_matter(case, source, tmp_path):
    path = source / case.table
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    blank = "," * header.count(",")
    lines = [line + ",," if number % 2 else line for number, line in enumerate(lines)]
    path.write_text(
        "\n".join([header + ",,", *(line if line.endswith(",,") else line + ",," for line in lines), blank])
    )
    assert accepted(case, source, tmp_path).rejected == []
    path.write_text("\n".join([header, *lines, blank]))
    assert ingest(IngestConfig(format=case.format), str(source), str(tmp_path / "again")).rejected == []


def test_a_row_with_something_beyond_the_last_column_is_still_refused(case, source, tmp_path):
    path = source / case.table
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4] += ",,x"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert f"{case.table}, row 5: has " in refused(case, source, tmp_path)


def test_a_table_in_another_encoding_is_told_with_its_row(case, source, tmp_path):
    path = source / case.table
    lines = path.read_bytes().split(b"\n")
    # far beyond the first piece that a decoder is given
    lines[5:5] = [lines[5]] * 3000
    lines[3004] = lines[3004].rstrip(b"\r") + b"\xe9"
    path.write_bytes(b"\n".join(lines))
    message = refused(case, source, tmp_path)
    assert f"{case.table}, row 3005: not UTF-8 text: byte 0xe9 in " in message


def test_a_table_in_utf_16_is_named_as_such(case, source, tmp_path):
    path = source / case.table
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-16")
    assert f"{case.table} is UTF-16 text, not UTF-8" in refused(case, source, tmp_path)
