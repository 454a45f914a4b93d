"""Reading a part of a shard, so that no flipped bit passes: what is read is checked, though the rest is not.

The footer is compared with its digest in the manifest, the pages with the checksums that they carry, and the rows with
the number that the footer gives, which a changed page header would alter. Shards of earlier releases have neither
digest nor checksums: there only their size and the form of what is read are checked.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lesiongen.dataset.manifest import Shard
from lesiongen.errors import DataError, StorageError
from lesiongen.storage import Storage

__all__ = ["checked", "footer_digest", "opened_shard", "shard_errors"]

_ENDING = 8
"""Bytes at the end of a Parquet file that say how long its footer is."""
_USUAL_FOOTER = 1 << 16


def footer_digest(stream: BinaryIO) -> str:
    """Returns the SHA-256 of a Parquet file's footer, its length and the closing mark included."""
    return hashlib.sha256(_footer(stream, stream.seek(0, io.SEEK_END))).hexdigest()


@contextmanager
def opened_shard(storage: Storage, shard: Shard) -> Iterator[pq.ParquetFile]:
    """Opens a shard where it lies; its size and footer are checked now, its pages when they are read.

    Raises:
        DataError: It is not the shard that was published.
    """
    with shard_errors(storage.uri, shard), storage.open(shard.name) as stream:
        size = stream.seek(0, io.SEEK_END)
        if size != shard.bytes:
            raise DataError(
                f"{storage.uri}/{shard.name} has {size} bytes, but the manifest says {shard.bytes}",
                hint="The shard was changed after it was published; publish the dataset again.",
            )
        # Without the buffer, whose blocks would take in pixels that lie beside a column.
        raw = stream.raw if isinstance(stream, io.BufferedReader) else stream
        footer = _footer(stream, size)
        if shard.footer_sha256 not in (None, hashlib.sha256(footer).hexdigest()):
            raise _damaged(storage.uri, shard, "its footer has another SHA-256 than the manifest says")
        metadata = pq.read_metadata(io.BytesIO(footer))
        with pq.ParquetFile(raw, metadata=metadata, pre_buffer=True, page_checksum_verification=True) as file:
            _require(file.metadata.num_rows == shard.rows, "its footer gives another number of rows")
            yield file


def checked(table: pa.Table, rows: int, columns: Sequence[str]) -> pa.Table:
    """Returns the columns of a table that was read, if it has them and as many rows as it must have.

    Raises:
        ArrowInvalid: It has others, or holds text that is not UTF-8.
    """
    _require(table.num_rows == rows, f"{table.num_rows} rows were read instead of {rows}")
    _require(set(columns) <= set(table.column_names), "a column is lost")
    table.validate(full=True)
    return table.select(list(columns))


@contextmanager
def shard_errors(uri: str | Path, shard: Shard) -> Iterator[None]:
    """Turns what Arrow says of a damaged file into an error that names the shard.

    Raises:
        DataError: The shard is damaged.
        StorageError: The disk cannot read it.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"{uri}/{shard.name} cannot be read: {error.strerror}") from error
        raise _damaged(uri, shard, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _footer(stream: BinaryIO, size: int) -> bytes:
    stream.seek(max(0, size - _USUAL_FOOTER))
    tail = stream.read(min(size, _USUAL_FOOTER))
    length = int.from_bytes(tail[-_ENDING:-4], "little") + _ENDING
    _require(length <= size, "its footer is longer than the file")
    if length > len(tail):
        stream.seek(size - length)
        tail = stream.read(length - len(tail)) + tail
    return tail[-length:]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise pa.ArrowInvalid(otherwise)


def _damaged(uri: str | Path, shard: Shard, why: str) -> DataError:
    return DataError(
        f"{uri}/{shard.name} is damaged: {why}",
        hint="Copy the dataset again from where it is whole, or publish it again.",
    )
