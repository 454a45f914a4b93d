"""A disk that takes no more is a sentence with what to do, wherever it is met."""

import errno
import subprocess
import sys

import pytest

from lesiongen.errors import StorageError, disk_error
from lesiongen.ingestion.spool import Spool
from lesiongen.storage import temporary_space
from tests.ingestion.miniatures import image_folder

INGEST = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
from lesiongen.cli.app import main
sys.argv = ["lesiongen", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_the_error_names_the_file_and_what_to_do(number):
    told = disk_error(OSError(number, "no more", "/data/out/x"))
    assert "A file cannot be written: /data/out/x: no more" in str(told)
    assert "TMPDIR" in str(told)


def test_an_error_of_another_kind_is_none_of_the_disk():
    assert disk_error(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")) is None


def test_no_place_for_temporary_files_is_a_storage_error(monkeypatch):
    def none(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.TemporaryFile", none)
    with pytest.raises(StorageError, match="Temporary files cannot be written: No usable temporary directory"):
        Spool().__enter__()


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE])
def test_too_little_memory_and_too_many_open_files_are_no_full_disk(number):
    with pytest.raises(OSError, match="not now") as caught, temporary_space():
        raise OSError(number, "not now")
    assert caught.value.errno == number


def test_a_fingerprint_of_which_the_disk_takes_a_part_is_no_fingerprint():
    command = """
import resource, signal
import numpy as np
from lesiongen.imaging import FingerprintFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
prints = FingerprintFile()
try:
    prints.extend(np.zeros((2, 4384), dtype=np.uint8))
except OSError:
    print(len(prints))
"""
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "0"


@pytest.mark.parametrize("size", [0, 2000])
def test_an_ingest_without_room_ends_without_a_traceback(make_folder_of_images, tmp_path, size):
    arguments = ["ingest", "--format", "image_folder", "--source", str(make_folder_of_images), "--output"]
    command = [sys.executable, "-c", INGEST.format(size=size), *arguments, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "cannot be written" in ended.stderr
    assert not (tmp_path / "out" / "_dataset.json").exists()


@pytest.fixture
def make_folder_of_images(tmp_path):
    return image_folder(tmp_path / "source")
