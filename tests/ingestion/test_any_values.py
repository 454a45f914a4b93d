"""Whatever a table holds: every row becomes photographs or a reason, and nothing but a DataError stops a run."""

import csv
import io
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig
from lesiongen.ingestion.formats import reader_class
from lesiongen.ingestion.rows import Rejection, Row

from . import miniatures

TABLES = {
    "derm7pt": "meta/meta.csv",
    "ddi": "ddi_metadata.csv",
    "fitzpatrick17k": "fitzpatrick17k.csv",
    "skincap": "skincap_v240623.csv",
}
cells = st.one_of(
    st.sampled_from(["", "-1", "1", "0.0", "12", "absent", "melanoma", "../x.jpg", "C:\\x.jpg", "nan", "TRUE", "=1+1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
)


def _write(folder, name):
    writers = {
        "derm7pt": lambda: miniatures.derm7pt(folder, 1),
        "ddi": lambda: miniatures.ddi(folder),
        "fitzpatrick17k": lambda: miniatures.small_fitzpatrick17k(folder, 2),
        "skincap": lambda: miniatures.skincap(folder),
    }
    writers[name]()
    for path in folder.rglob("*_indexes.csv"):
        path.unlink()
    with (folder / TABLES[name]).open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))


@pytest.mark.parametrize("name", list(TABLES))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_photographs_or_a_reason(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("any")
    row = _write(folder, name)
    changed = data.draw(
        st.lists(st.dictionaries(st.sampled_from(list(row)), cells, max_size=4), min_size=1, max_size=4)
    )
    rows = [row | changes for changes in changed]
    miniatures.write_csv(folder / TABLES[name], list(row), rows)
    reader = reader_class(name)(IngestConfig(format=name))
    found = [item for item in reader.read(miniatures.opened(folder)) if not isinstance(item, Rejection) or item.row]
    assert len(found) == len(rows) * (2 if name == "derm7pt" else 1)
    for item in found:
        json.dumps(item.values if isinstance(item, Row) else item.reason)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_workbook_is_refused_in_words(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("book")
    miniatures.skincap(folder, "xlsx")
    path = folder / "skincap_v240715.xlsx"
    with zipfile.ZipFile(path) as book:
        parts = {part: book.read(part) for part in book.namelist()}
    name = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[name])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=5))
    damaged = io.BytesIO()
    with zipfile.ZipFile(damaged, "w") as book:
        for part, whole in parts.items():
            book.writestr(part, bytes(content) if part == name else whole)
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(damaged.getvalue()))))
    path.write_bytes(damaged.getvalue()[:cut])
    try:
        list(reader_class("skincap")(IngestConfig(format="skincap")).read(miniatures.opened(folder)))
    except DataError as error:
        assert "skincap_v240715.xlsx" in str(error)


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    source = miniatures.skincap(tmp_path / "s", "xlsx")
    monkeypatch.setattr("lesiongen.limits.MAX_WORKBOOK_BYTES", 1000)
    with pytest.raises(DataError, match="unpacks to .* bytes, more than the 1,000 allowed"):
        list(reader_class("skincap")(IngestConfig(format="skincap")).read(miniatures.opened(source)))
