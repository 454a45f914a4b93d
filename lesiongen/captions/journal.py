"""What the writers have stated so far, so that a job that is started again neither measures nor asks twice."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import RootModel, ValidationError

from lesiongen.captions.config import WriterName
from lesiongen.captions.writers import Written
from lesiongen.storage import Storage

__all__ = ["Described", "Journal"]

logger = logging.getLogger(__name__)

Described = Mapping[WriterName, Written]
"""What each writer states of one image."""


class _Piece(RootModel[list[dict[WriterName, Written]]]):
    pass


class Journal:
    """Pieces of finished work, one object for each stretch of rows.

    Args:
        storage: A place that is the same when the job is started again.
        key: Names the work: another dataset, other writers or another release have another.
    """

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self._key = key

    def get(self, rows: range) -> Sequence[Described] | None:
        """Returns what was stated of these rows, None where that is not finished."""
        name = self._name(rows)
        content = self._storage.read_if_there(name)
        if content is None:
            return None
        try:
            piece = _Piece.model_validate_json(content).root
        except ValidationError as error:
            logger.warning("%s/%s is damaged and is made again: %s", self._storage.uri, name, error)
            return None
        return piece if len(piece) == len(rows) else None

    def put(self, rows: range, described: Sequence[Described]) -> None:
        """Keeps what was stated of these rows."""
        self._storage.write_text(self._name(rows), json.dumps([_plain(item) for item in described]))

    def count(self, rows: range) -> int:
        """Returns of how many of these rows it is kept what was stated."""
        return sum(len(piece) for piece in self._pieces(rows))

    def clear(self, rows: range) -> None:
        """Removes what was stated of these rows: it is published."""
        for piece in list(self._pieces(rows)):
            self._storage.delete(self._name(piece))

    def _pieces(self, rows: range) -> Iterator[range]:
        there = (item.key.rpartition("/")[2] for item in self._storage.list(f"{self._key}/"))
        pieces = (range(*map(int, name.removesuffix(".json").split("-"))) for name in there)
        return (piece for piece in pieces if piece.start in rows and piece.stop <= rows.stop)

    def _name(self, rows: range) -> str:
        return f"{self._key}/{rows.start:08d}-{rows.stop:08d}.json"


def _plain(described: Described) -> dict[str, Any]:
    return {name: written.model_dump(mode="json", exclude_defaults=True) for name, written in described.items()}
