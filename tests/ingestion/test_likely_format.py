"""A wrong or missing format: the message names the one that the source is in."""

import pytest

from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.likely_format import no_format

from . import miniatures
from .cases import CASES

BUILDERS = {case.format: case.build for case in CASES} | {"isic2016": miniatures.isic2016}
NAMED = sorted(BUILDERS.keys() - {"image_folder"})


def hint_of(source, format, output):
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format=format), str(source), str(output))
    return caught.value.hint or ""


@pytest.mark.parametrize("format", NAMED)
def test_a_wrong_format_is_answered_with_the_right_one(format, tmp_path):
    source = BUILDERS[format](tmp_path / "in")
    wrong = "ham10000" if format != "ham10000" else "ddi"
    assert f"It looks like {format}: --format {format}." in hint_of(source, wrong, tmp_path / "out")


@pytest.mark.parametrize("format", ["isic2016", "isic2024", "milk10k"])
@pytest.mark.parametrize("wrong", ["isic", "image_folder"])
def test_isics_later_collections_are_told_from_its_challenges(format, wrong, tmp_path):
    source = BUILDERS[format](tmp_path / "in")
    assert f"--format {format}." in hint_of(source, wrong, tmp_path / "out")


@pytest.mark.parametrize("format", ["isic2016", "isic2024", "milk10k", "ham10000"])
def test_renamed_tables_are_known_by_their_columns(format, tmp_path):
    source = BUILDERS[format](tmp_path / "in")
    for number, table in enumerate(sorted(source.glob("*.csv"))):
        table.rename(source / f"{number}.csv")
    assert f"--format {format}." in hint_of(source, "ddi", tmp_path / "out")


@pytest.mark.parametrize("format", NAMED)
def test_a_missing_format_is_named(format, tmp_path):
    error = no_format(str(BUILDERS[format](tmp_path / "in")))
    assert "--format is missing" in str(error)
    assert error.hint == f"It looks like {format}: --format {format}."


def test_a_source_of_ones_own_is_not_taken_for_a_public_one(tmp_path):
    source = miniatures.image_folder(tmp_path / "in")
    (source / "weights.h5").write_bytes(b"\x89HDF")
    assert "image_folder reads a table of your own" in no_format(str(source)).hint
    assert "It looks like" not in hint_of(source, "isic", tmp_path / "out")
