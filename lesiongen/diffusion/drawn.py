"""Images that are drawn already, so that a run that is started again draws only the rest."""

import io
import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lesiongen.dataset.schema import SCHEMA, Sample, sample_from_row, sample_to_row
from lesiongen.storage import Storage

__all__ = ["Drawn"]

logger = logging.getLogger(__name__)


class Drawn:
    """Finished batches, one object each.

    Args:
        storage: A place that is the same when the run is started again.
        key: Names the run: another plan, model or seed has another.
    """

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._used: list[str] = []

    def get(self, image_ids: Sequence[str]) -> list[Sample] | None:
        """Returns the batch of these images, None where it is not drawn."""
        name = self._name(image_ids)
        if not self._storage.exists(name):
            return None
        try:
            rows = pq.read_table(io.BytesIO(self._storage.read_bytes(name))).to_pylist()
            samples = [sample_from_row(row) for row in rows]
        except (pa.ArrowException, KeyError) as error:
            logger.warning("%s/%s is damaged and is drawn again: %s", self._storage.uri, name, error)
            return None
        self._used.append(name)
        return samples if [sample.image_id for sample in samples] == list(image_ids) else None

    def put(self, samples: Sequence[Sample]) -> None:
        """Keeps a batch."""
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([sample_to_row(sample) for sample in samples], schema=SCHEMA), buffer)
        name = self._name([sample.image_id for sample in samples])
        self._storage.write_bytes(name, buffer.getvalue())
        self._used.append(name)

    def clear(self) -> None:
        """Removes the batches that this run has read or written: its result is published."""
        for name in self._used:
            self._storage.delete(name)

    def _name(self, image_ids: Sequence[str]) -> str:
        return f"{self._key}/{image_ids[0]}-{len(image_ids)}.rows"
