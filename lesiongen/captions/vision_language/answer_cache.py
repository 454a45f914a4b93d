"""Answers kept under the digest of what was asked, so that nothing is asked twice."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from lesiongen.captions.vision_language.backend import Answer
from lesiongen.config import StageConfig
from lesiongen.storage import open_storage

__all__ = ["AnswerCache"]

logger = logging.getLogger(__name__)
READERS = 8


class _Kept(StageConfig):
    schema_version: int = 1
    text: str
    pieces: tuple[tuple[str, float], ...] = ()
    refusal: str | None = None


class AnswerCache:
    """One small JSON object for each answer, in a folder or under an s3:// prefix.

    Runs may share it at the same time: an object is written whole or not at all, and equal keys hold equal questions.
    """

    def __init__(self, uri: str | None) -> None:
        self._storage = open_storage(uri) if uri is not None else None

    def find(self, keys: Sequence[str]) -> list[Answer | None]:
        """Looks the answers up; None means that a question has not been answered."""
        if self._storage is None or not keys:
            return [None] * len(keys)
        with ThreadPoolExecutor(min(READERS, len(keys))) as pool:
            return list(pool.map(self._get, keys))

    def keep(self, key: str, answer: Answer) -> None:
        """Writes an answer down."""
        if self._storage is not None:
            kept = _Kept(text=answer.text, pieces=answer.pieces, refusal=answer.refusal)
            self._storage.write_text(_path(key), kept.model_dump_json() + "\n")

    def _get(self, key: str) -> Answer | None:
        if self._storage is None or not self._storage.exists(_path(key)):
            return None
        try:
            kept = _Kept.model_validate_json(self._storage.read_bytes(_path(key)))
        except ValidationError:
            logger.warning("%s/%s is damaged and is asked again", self._storage.uri, _path(key))
            return None
        return Answer(kept.text, kept.pieces, kept.refusal)


def _path(key: str) -> str:
    return f"{key[:2]}/{key}.json"
