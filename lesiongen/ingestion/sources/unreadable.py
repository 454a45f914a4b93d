"""The files and folders of a source that are there and cannot be read."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from lesiongen.ingestion.rows import Field, FieldError, Rejection

__all__ = ["Unreadable"]


class Unreadable:
    """Why files and folders cannot be read, by key (a folder's ends with a slash); remembers which a row has named."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._named: set[str] = set()

    def add(self, key: str, reason: str) -> None:
        """Adds a file or a folder."""
        self._reasons[key] = reason
        path = PurePosixPath(key)
        self._by_stem.setdefault(path.stem, []).append(key)
        self._by_name.setdefault(path.name, []).append(key)

    @property
    def first(self) -> str | None:
        """The first of them and the reason, as the end of a sentence; None if all can be read."""
        return next((f"{key}, which {reason}" for key, reason in self._reasons.items()), None)

    def of_stem(self, stem: str) -> list[str]:
        """Returns the keys of those whose name without suffix is this one."""
        return self._by_stem.get(stem, [])

    def of_name(self, name: str) -> list[str]:
        """Returns the keys of those of a name, whatever their folder."""
        return self._by_name.get(name, [])

    def check(self, field: Field, keys: Iterable[str]) -> None:
        """Refuses a name whose file is there and cannot be read, which then counts with its row.

        Args:
            field: The column that names the image.
            keys: Where the image would be.

        Raises:
            FieldError: One of the files, or a folder above it, cannot be read.
        """
        for key in keys:
            if reason := self._reasons.get(key):
                self._named.add(key)
                raise FieldError(field, f"the image {key} {reason}")
            folders = (f"{folder}/" for folder in PurePosixPath(key).parents)
            if closed := next((folder for folder in folders if folder in self._reasons), None):
                raise FieldError(field, f"the folder {closed} {self._reasons[closed]}")

    def not_named(self) -> Iterator[Rejection]:
        """Yields those that no row has named."""
        for key, reason in self._reasons.items():
            if key not in self._named:
                yield Rejection(key, None, None, None, reason)
