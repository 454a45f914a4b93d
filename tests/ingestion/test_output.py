"""Where an ingest may write."""

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import StorageError, UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.output import check_output
from lesiongen.storage import LocalStorage
from tests.ingestion import miniatures

CONFIG = IngestConfig(format="image_folder")


@pytest.mark.parametrize("place", [".", "data", "images/../data", ".."])
def test_a_dataset_is_never_written_into_its_source_nor_around_it(tmp_path, place):
    source = miniatures.image_folder(tmp_path / "outer" / "source")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="The output .* is the source, or is inside it"):
        ingest(CONFIG, str(source), str(source / place))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("source", "output"),
    [("s3://b/in", "s3://b/in"), ("s3://b/in/", "s3://b/in/data"), ("s3://b/in/all.zip", "s3://b/in")],
)
def test_neither_on_s3(source, output):
    with pytest.raises(UsageError, match="the source"):
        check_output(source, output)
    check_output(source, "s3://b/in-other")


def test_a_link_to_the_source_is_the_source(tmp_path):
    source = miniatures.image_folder(tmp_path / "source")
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError, match="is the source, or"):
        ingest(CONFIG, str(source), str(tmp_path / "link"))


@pytest.mark.parametrize("name", ["thesis.txt", "folder/thesis.txt", "metadata.csv"])
def test_a_folder_with_other_files_is_refused(tmp_path, name):
    source = miniatures.image_folder(tmp_path / "source")
    other = tmp_path / "out" / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(UsageError, match="out is not an empty folder"):
        ingest(CONFIG, str(source), str(tmp_path / "out"))
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [other]


def test_a_folder_that_the_source_links_to_is_a_part_of_it(tmp_path):
    source = miniatures.image_folder(tmp_path / "source")
    (source / "images").rename(tmp_path / "store")
    (source / "images").symlink_to(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=r"store/data is in .*store, a folder that the source links to"):
        ingest(CONFIG, str(source), str(tmp_path / "store" / "data"))
    assert sorted(tmp_path.rglob("*")) == before
    ingest(CONFIG, str(source), str(tmp_path / "out"))


def test_a_file_is_no_folder(tmp_path):
    source = miniatures.image_folder(tmp_path / "source")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="out is not an empty folder"):
        ingest(CONFIG, str(source), str(tmp_path / "out"))


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    source = miniatures.image_folder(tmp_path / "source")
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("lesiongen.ingestion.stage._read_rows", lambda *_: pytest.fail("something was read"))
    with pytest.raises(StorageError, match=r"file/out cannot be written: .*file is not a folder"):
        ingest(CONFIG, str(source), str(tmp_path / "file" / "out"))


def test_an_interrupted_ingest_goes_on_in_its_folder(tmp_path, monkeypatch):
    source, out = miniatures.image_folder(tmp_path / "source"), tmp_path / "out"

    def fail(*arguments):
        raise StorageError("the disk is full")

    out.mkdir()
    (out / ".train-00000-of-00001.parquet.0a1b2c3d").write_bytes(b"half")  # as a kill leaves it
    with monkeypatch.context() as patched, pytest.raises(StorageError):
        patched.setattr(LocalStorage, "create_bytes", fail)  # of the manifest
        ingest(CONFIG, str(source), str(out))
    assert list(out.glob("*.parquet"))
    assert ingest(CONFIG, str(source), str(out)).accepted == len(Dataset.open(str(out)))
    with pytest.raises(UsageError, match="already holds a dataset"):
        ingest(CONFIG, str(source), str(out))
