"""What was looked up in the images of a dataset, kept beside its shards and read in place of decoding them again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

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
_BATCH_ROWS = 1024


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
            kept = _read(path)
        except (pa.ArrowException, OSError, UnicodeError) as error:  # to the user the same as another digest
            raise EXAMINATIONS.changed(dataset) from error
        yield kept


def _read(path: Path) -> KeptExaminations | None:
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    if (file.schema.metadata or {}).get(_VERSION) != _SCHEMA.metadata[_VERSION]:
        return None
    table = file.read_all()
    table.validate(full=True)
    if table.schema != _SCHEMA:
        raise pa.ArrowInvalid("the columns are others")
    return KeptExaminations(table)
