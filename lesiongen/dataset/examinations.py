"""What was looked up in the images of a dataset, kept beside its shards and read in place of decoding them again."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from lesiongen import limits
from lesiongen.dataset.kept import EXAMINATIONS
from lesiongen.imaging import Fingerprint
from lesiongen.imaging.examination import EXAMINED, MEASURES, WORDS, Examinations
from lesiongen.imaging.fingerprints import FINGERPRINT_BYTES
from lesiongen.storage import temporary_space

if TYPE_CHECKING:
    from lesiongen.dataset.reader import Dataset
    from lesiongen.dataset.writer import DatasetWriter

__all__ = ["KeptExaminations", "keep_examinations", "kept_examinations"]

_KEPT = tuple(name for name in EXAMINED if name != "decode_problem")
_VERSION = b"measures"
_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        *((name, pa.string() if name in WORDS else pa.float64()) for name in _KEPT),
        ("fingerprint", pa.binary(FINGERPRINT_BYTES)),
    ],
    metadata={_VERSION: str(MEASURES)},
)
"""Columns of the document, an Arrow IPC file with a row for each image, sorted by ``image_id``; all of them decode."""
_OPTIONAL = {"orientation_pending", "private_metadata"}
"""Columns that may be null."""
_BATCH_ROWS = 1024
_MAGIC = b"ARROW1\0\0"
_ROW_BYTES = FINGERPRINT_BYTES + 4 * limits.MAX_LABEL_CHARACTERS + 1024
_OTHER_BYTES = 1 << 16
"""Bytes that the document has at most for an image, and beside; with ids of usual length an image has 4,500."""


def keep_examinations(
    writer: "DatasetWriter", places: Mapping[str, int], seen: pd.DataFrame, prints: Sequence[Fingerprint]
) -> None:
    """Has a dataset that is being written keep what was looked up in its images; their order changes no byte of it.

    Args:
        writer: The dataset.
        places: Where in ``seen`` and ``prints`` each image is, by its id.
        seen: Rows with the columns of `EXAMINED`; all of them decode.
        prints: Their fingerprints.
    """
    order = sorted(places)
    path = writer.place_of(EXAMINATIONS.name)
    with temporary_space(), pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as document:
        for start in range(0, len(order), _BATCH_ROWS):
            image_ids = order[start : start + _BATCH_ROWS]
            chosen = [places[image_id] for image_id in image_ids]
            rows = seen.iloc[chosen]
            columns = {
                "image_id": image_ids,
                **{name: rows[name].tolist() for name in _KEPT},
                "fingerprint": [prints[place].planes for place in chosen],
            }
            document.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    EXAMINATIONS.write(writer, path, images=len(order))


class KeptExaminations:
    """The examinations that a dataset has kept; usable while its document is open."""

    def __init__(self, table: pa.Table) -> None:
        self._prints = table["fingerprint"]
        self._ids = pd.Index(table["image_id"].to_pylist())
        self._columns = {name: table[name].to_numpy(zero_copy_only=False) for name in _KEPT}
        if not self._ids.is_unique:
            raise pa.ArrowInvalid("an image has two rows")

    def places(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Returns where each image is, -1 for one that has no row."""
        return np.asarray(self._ids.get_indexer(pd.Index(image_ids)), dtype=np.int64)

    def at(self, places: NDArray[np.int64]) -> Examinations:
        """Returns what was looked up in the images at some places."""
        columns = {name: values[places] for name, values in self._columns.items()}
        columns["decode_problem"] = np.full(len(places), None, dtype=object)
        packed = b"".join(self._prints[place].as_py() for place in places.tolist())
        return Examinations(columns, np.frombuffer(packed, dtype=np.uint8).reshape(-1, FINGERPRINT_BYTES))


@contextmanager
def kept_examinations(dataset: "Dataset") -> Iterator[KeptExaminations | None]:
    """Gives the examinations that are kept with a dataset; None without, or where another release measured otherwise.

    Raises:
        DataError: They are not the ones that were published.
    """
    with EXAMINATIONS.opened(dataset) as path:
        if path is None:
            yield None
            return
        try:
            kept = _read(path, _most_rows(dataset))
        except (
            pa.ArrowException,
            OSError,
            UnicodeError,
            struct.error,
        ) as error:  # to the user the same as another digest
            raise EXAMINATIONS.changed(dataset) from error
        yield kept


def _most_rows(dataset: "Dataset") -> int:
    """Returns how many rows the document may have: as many as the manifest says, which of a part names the whole's."""
    described = EXAMINATIONS.described(dataset)
    return min(described.images, limits.MAX_ROWS) if described and described.images else 0


def _read(path: Path, most_rows: int) -> KeptExaminations | None:
    """Reads the document where it lies on the disk: what would take more memory than that is refused before."""
    source = pa.memory_map(str(path))
    if source.read(len(_MAGIC)) != _MAGIC:
        raise pa.ArrowInvalid("this is not an Arrow file")
    messages = pa.ipc.MessageReader.open_stream(source)
    if (first := next(iter(messages), None)) is None:
        raise pa.ArrowInvalid("it holds nothing")
    schema = pa.ipc.read_schema(first)
    if (schema.metadata or {}).get(_VERSION) != _SCHEMA.metadata[_VERSION]:
        return None
    if schema != _SCHEMA:
        raise pa.ArrowInvalid("the columns are others")
    if source.size() > most_rows * _ROW_BYTES + _OTHER_BYTES:
        raise pa.ArrowInvalid("it is too large")
    table = pa.Table.from_batches(_batches(messages, most_rows), schema)
    if any(table[name].null_count for name in table.column_names if name not in _OPTIONAL):
        raise pa.ArrowInvalid("a value is missing")
    return KeptExaminations(table)


def _batches(messages: pa.ipc.MessageReader, most_rows: int) -> Iterator[pa.RecordBatch]:
    for message in messages:
        if message.type != "record batch" or _is_compressed(message):
            raise pa.ArrowInvalid("it is written in another way")
        batch = pa.ipc.read_record_batch(message, _SCHEMA)
        most_rows -= batch.num_rows
        if most_rows < 0:
            raise pa.ArrowInvalid("it has too many rows")
        batch.validate(full=True)
        yield batch


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Tells whether a record batch would have to be inflated, which pyarrow tells only once it has been.

    Message.fbs of the Arrow format: field 2 of a message is its header, field 3 of a record batch the compression.
    """
    data = message.metadata.to_pybytes()
    (root,) = struct.unpack_from("<I", data)
    place = _field(data, root, 2)
    (header,) = struct.unpack_from("<I", data, place)
    return _field(data, place + header, 3) != 0


def _field(data: bytes, table: int, number: int) -> int:
    """Returns where a field of a FlatBuffers table is, 0 where it is left out."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    (size,) = struct.unpack_from("<H", data, fields)
    slot = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", data, fields + slot) if slot < size else (0,)
    return table + offset if offset else 0
