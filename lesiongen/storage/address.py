"""From an address to the storage that it names."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from lesiongen.errors import UsageError
from lesiongen.storage.interface import Storage
from lesiongen.storage.local import LocalStorage

__all__ = ["open_storage", "overlap", "unique_prefix"]


def open_storage(uri: str | Path) -> Storage:
    """Opens a folder or an ``s3://bucket/prefix``; nothing is created or contacted yet.

    Raises:
        UsageError: The address is of another kind, or names no bucket.
    """
    text = str(uri)
    match = re.match(r"^([a-z][a-z0-9+.-]*)://", text)
    if match is None:
        return LocalStorage(text)
    if match.group(1) != "s3":
        raise UsageError(f"{text}: only folders and s3:// addresses are understood")
    from lesiongen.storage.s3 import S3Storage

    return S3Storage(text)


def overlap(first: str, second: str) -> bool:
    """Tells whether two addresses are one place, or one lies within the other."""
    one, other = _place(first), _place(second)
    return one.is_relative_to(other) or other.is_relative_to(one)


def _place(address: str) -> PurePosixPath:
    return PurePosixPath(address if "://" in address else Path(address).resolve().as_posix())


def unique_prefix(root: str, *parts: str) -> str:
    """Returns ``root/part/…/<UTC time>-<8 hex digits>``, a prefix that was never used before."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return "/".join([root.rstrip("/"), *parts, f"{stamp}-{secrets.token_hex(4)}"])
