import errno
import io

import pytest

from lesiongen.errors import StorageError
from lesiongen.ingestion.spool import Spool


def test_the_spool_gives_back_what_it_took():
    with Spool() as spool:
        places = [spool.put(data) for data in (b"one", b"", b"three")]
        assert [spool.get(place) for place in reversed(places)] == [b"three", b"", b"one"]


def test_a_full_disk_of_temporary_files_is_told(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lesiongen.ingestion.spool.tempfile.TemporaryFile", lambda **options: Full())
    with (
        pytest.raises(StorageError, match=r"Temporary files cannot be written to .*: No space left[\s\S]*TMPDIR"),
        Spool() as spool,
    ):
        spool.put(b"image")
