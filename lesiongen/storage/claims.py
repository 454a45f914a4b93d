"""One writer at a time for a place: it claims the place before it writes, so that a second one learns it early.

How a place is claimed is the storage's own affair (`Storage.claiming`): a folder by a lock of the kernel, a prefix on
S3 by an object. A claim ends with its block; that of a killed process is found out and taken over.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from lesiongen.errors import StorageError, UsageError
from lesiongen.owner import Owner
from lesiongen.storage.interface import Claim, Storage
from lesiongen.temporary import remove_leftovers

__all__ = ["claimed", "occupied", "overtaken"]

_held: ContextVar[dict[str, Claim]] = ContextVar("_held")


@contextmanager
def claimed(storage: Storage) -> Iterator[Claim]:
    """Holds the claim to a place while the block runs.

    Within the block, the same thread may claim the place again: a stage and the writer of its dataset are one writer.

    Raises:
        UsageError: Another writer holds it.
        StorageError: The place cannot be written.
    """
    held = _held.get({})
    if (claim := held.get(storage.uri)) is not None:
        yield claim
        return
    storage.require_writable()
    with suppress(OSError):  # a full disk of temporary files is met where one is needed
        remove_leftovers()  # a repeated command may find all published, and need no temporary folder of its own
    with storage.claiming() as claim:
        token = _held.set({**held, storage.uri: claim})
        try:
            yield claim
        finally:
            _held.reset(token)


def occupied(uri: str, owner: Owner | None) -> UsageError:
    """Returns the error of a place that another process writes to."""
    who = f" ({owner})" if owner is not None else ""
    return UsageError(
        f"{uri} is being written by another process{who}", hint="Wait until it has ended, or choose another output."
    )


def overtaken(uri: str) -> StorageError:
    """Returns the error of a writer that did not write for so long that another one took its place."""
    return StorageError(
        f"{uri} is no longer claimed by this process: it did not renew its claim in time, and another may write there",
        hint="Nothing was published. Choose another output, or start it again when the other has ended.",
    )
