"""Reading the images of a source: cleaned, examined and put aside, on all cores."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain

from lesiongen import limits
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging.cleaning import Cleaned, CleanedImage, clean_all
from lesiongen.imaging.decoding_room import DecodingRoom
from lesiongen.imaging.examination import ExaminationLog
from lesiongen.ingestion.rows import Rejection, Row
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.splitting import LoadedRow
from lesiongen.ingestion.spool import Spool
from lesiongen.parallel import SMALL, in_processes
from lesiongen.progress import progress
from lesiongen.storage import temporary_space
from lesiongen.temporary import temporary_folder

__all__ = ["LoadedImages", "load_images"]

PARALLEL_READS = 8
READ_AHEAD = 4 * PARALLEL_READS
BATCH_FILES, BATCH_BYTES = 16, 2 << 20
"""Files that a process is given at a time, and bytes from which on it is given no more."""

_Read = tuple[Row, bytes | Rejection]


@dataclass(frozen=True)
class LoadedImages:
    """The images of some rows.

    Attributes:
        rows: Those whose image can be used.
        rejected: The others.
        examinations: What was looked up in the image of each of ``rows``, as it is to be stored.
    """

    rows: list[LoadedRow]
    rejected: list[Rejection]
    examinations: ExaminationLog


def load_images(storage: Source, rows: Sequence[Row], spool: Spool) -> LoadedImages:
    """Reads every image, cleans and examines it, and puts its bytes aside.

    Few images are in memory at a time, whatever the number of rows, and fewer decoded (`DecodingRoom`).

    Raises:
        StorageError: The disk of temporary files is full, or the source cannot be reached.
    """
    loaded = LoadedImages([], [], ExaminationLog())
    with progress("Reading images", total=len(rows), unit="images") as bar:
        for batch, cleaned in _cleaned(storage, rows):
            with temporary_space():
                loaded.examinations.extend(cleaned.examinations)
            for item in _put_aside(batch, cleaned, spool):
                if isinstance(item, LoadedRow):
                    loaded.rows.append(item)
                else:
                    loaded.rejected.append(item)
                bar.advance()
    return loaded


def _put_aside(batch: Sequence[_Read], cleaned: Cleaned, spool: Spool) -> Iterator[LoadedRow | Rejection]:
    images, hashes = iter(cleaned.images), iter(cleaned.examinations.columns["file_hash"])
    for row, data in batch:
        if isinstance(data, Rejection):
            yield data
        elif isinstance(image := next(images), str):
            yield _unusable(row, image)
        else:
            image = image or CleanedImage(data)
            yield LoadedRow(row, spool.put(image.data), image.removed, next(hashes))


def _cleaned(storage: Source, rows: Sequence[Row]) -> Iterator[tuple[list[_Read], Cleaned]]:
    sizes = {item.key: item.size for item in storage.list()}
    small = sum(sizes.get(row.image_key, 0) for row in rows) < SMALL
    given: deque[list[_Read]] = deque()

    def files() -> Iterator[list[bytes]]:
        for batch in _batches(_read_ahead(storage, rows)):
            given.append(batch)
            yield [data for _, data in batch if not isinstance(data, Rejection)]

    with ExitStack() as held:
        with temporary_space():
            room = held.enter_context(temporary_folder("decoding")) / "room"
            room.touch()
        work = partial(clean_all, DecodingRoom(room, limits.MAX_PIXELS))
        most = limits.MAX_BYTES_AHEAD
        for cleaned in in_processes(work, files(), processes=1 if small else None, size=_bytes_of, most=most):
            yield given.popleft(), cleaned


def _bytes_of(files: Sequence[bytes]) -> int:
    return sum(map(len, files))


def _batches(read: Iterator[_Read]) -> Iterator[list[_Read]]:
    for first in read:
        batch, size = [], 0
        for item in chain([first], read):
            batch.append(item)
            size += 0 if isinstance(item[1], Rejection) else len(item[1])
            if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
                break
        yield batch


def _read_ahead(storage: Source, rows: Sequence[Row]) -> Iterator[_Read]:
    """Reads several images at once but holds few, in order."""
    reading: deque[tuple[Row, Future[bytes | Rejection]]] = deque()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        for row in rows:
            reading.append((row, pool.submit(_read, storage, row)))
            if len(reading) == READ_AHEAD:
                row, future = reading.popleft()
                yield row, future.result()
        while reading:
            row, future = reading.popleft()
            yield row, future.result()


def _read(storage: Source, row: Row) -> bytes | Rejection:
    try:
        return storage.read_bytes(row.image_key)
    except DataError as error:  # a damaged member of an archive
        return _unusable(row, str(error))
    except UsageError:  # a key of S3 with .. in it
        return row.reject(row.image_field, f"the image {row.image_key} leads out of the source folder")


def _unusable(row: Row, why: str) -> Rejection:
    return row.reject(row.image_field, f"the image {row.image_key} cannot be used: {why}")
