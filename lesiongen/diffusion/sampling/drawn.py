"""Images that are drawn already, so that a run that is started again draws only the rest."""

import hashlib
import io
import logging
from collections.abc import Iterable, Sequence

import pyarrow.parquet as pq

from lesiongen.dataset.schema import Sample, sample_from_row, samples_as_table
from lesiongen.storage import Storage, json_digest, open_storage

__all__ = ["Drawn", "output_and_work"]

logger = logging.getLogger(__name__)
_WORK_FOLDER = "_work"
_DIGEST_BYTES = hashlib.sha256().digest_size


def output_and_work(output: str, work: str | None) -> tuple[Storage, Storage]:
    """Returns the output of a stage and the place that keeps its finished batches, once both can be written.

    Args:
        output: A folder or ``s3://`` prefix.
        work: The place; None: a folder within the output.

    Raises:
        UsageError: An address is of another kind.
        StorageError: One of the two cannot be written.
    """
    target = open_storage(output)
    place = open_storage(work) if work else target.child(_WORK_FOLDER)
    for storage in (target, place):
        storage.require_writable()
    return target, place


class Drawn:
    """Finished batches, one object each: the SHA-256 of its rows, then the rows as Parquet.

    Parquet reads many a damaged file without an error, so the digest alone tells whether a batch is whole.

    Args:
        storage: A place that is the same when the run is started again.
        key: Names the run: another plan, model or seed has another.
    """

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key

    def get(self, image_ids: Sequence[str]) -> list[Sample] | None:
        """Returns the batch of these images, None where it is not drawn or is damaged."""
        name = self._name(image_ids)
        content = self._storage.read_if_there(name)
        if content is None:
            return None
        digest, rows = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(rows).digest() != digest:
            logger.warning("%s/%s is damaged and is drawn again", self._storage.uri, name)
            return None
        samples = [sample_from_row(row) for row in pq.read_table(io.BytesIO(rows)).to_pylist()]
        return samples if [sample.image_id for sample in samples] == list(image_ids) else None

    def put(self, samples: Sequence[Sample]) -> None:
        """Keeps a batch."""
        buffer = io.BytesIO()
        pq.write_table(samples_as_table(samples), buffer)
        rows = buffer.getvalue()
        name = self._name([sample.image_id for sample in samples])
        self._storage.write_bytes(name, hashlib.sha256(rows).digest() + rows)

    def count(self, batches: Iterable[Sequence[str]]) -> int:
        """Returns how many of the images in these batches are drawn."""
        there = {item.key for item in self._storage.list(f"{self._key}/")}
        return sum(len(image_ids) for image_ids in batches if self._name(image_ids) in there)

    def clear(self, batches: Iterable[Sequence[str]]) -> None:
        """Removes the batches of these images, whichever attempt has drawn them; other parts may keep theirs here."""
        for image_ids in batches:
            self._storage.delete(self._name(image_ids))

    def _name(self, image_ids: Sequence[str]) -> str:
        # A digest: an id of a user's own image may be no name of a file.
        return f"{self._key}/{json_digest(list(image_ids))[:32]}.rows"
