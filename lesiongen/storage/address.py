"""From an address to the storage that it names."""

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from lesiongen.errors import UsageError
from lesiongen.storage.interface import Storage
from lesiongen.storage.local import LocalStorage

__all__ = ["local_path", "normal_address", "open_storage", "overlap", "unique_prefix"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_JOINED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
"""An address whose slashes a `Path` has joined."""
_OF_FILE = re.compile(r"file:(?://(?:localhost)?(?=/)|(?=/(?!/)))", re.IGNORECASE)
_ALMOST_S3 = re.compile(r"s3(?://|:/?(?!/))", re.IGNORECASE)
"""A colon forgotten, or a slash; a `Path` joins the slashes too."""


def normal_address(address: str) -> str:
    """Returns an address as the project writes it: ``~`` expanded, ``S3://`` in lower case, ``file:///x`` as ``/x``.

    >>> normal_address("S3://bucket/data/")
    's3://bucket/data/'
    """
    if address == "~" or address.startswith("~/"):  # a shell leaves it as it is in --output=~/x, and so does YAML
        return os.path.expanduser(address)
    if of_file := _OF_FILE.match(address):
        return unquote(address[of_file.end() :])
    return f"s3://{address[5:]}" if address[:5].lower() == "s3://" else address


def open_storage(uri: str | Path) -> Storage:
    """Opens a folder or an ``s3://bucket/prefix``; nothing is created or contacted yet.

    Raises:
        UsageError: The address is of another kind, or names no bucket.
    """
    text = normal_address(str(uri))
    if almost := _ALMOST_S3.match(text):
        hint = f"Write s3://bucket/prefix, or ./{almost.group().rstrip('/')} for a folder."
        raise UsageError(f"{text} is not an address of S3", hint=hint)
    match = _SCHEME.match(text) or _JOINED.match(text)
    if match is None:
        return LocalStorage(text)
    if match.group(1) != "s3":
        raise UsageError(
            f"{text}: {match.group(1)}:// is not supported as a storage",
            hint="Give a folder or an s3://bucket/prefix address.",
        )
    from lesiongen.storage.s3 import S3Storage

    return S3Storage(text)


def local_path(address: str | Path) -> Path:
    """Returns the absolute path of this machine that an address names.

    Raises:
        UsageError: It is an address of another kind.
    """
    storage = open_storage(address)
    if not isinstance(storage, LocalStorage):
        raise UsageError(f"{address} is not a path of this machine", hint="Give a path, without s3:// before it.")
    return storage.root


def overlap(first: str, second: str) -> bool:
    """Tells whether two addresses are one place, or one lies within the other.

    >>> overlap("s3://bucket/data", "s3://bucket/data/v1"), overlap("s3://bucket/data", "s3://bucket/data2")
    (True, False)
    """
    one, other = _place(first), _place(second)
    return one.is_relative_to(other) or other.is_relative_to(one)


def _place(address: str) -> PurePosixPath:
    address = normal_address(address)
    return PurePosixPath(address if "://" in address else Path(address).resolve().as_posix())


def unique_prefix(root: str, *parts: str) -> str:
    """Returns ``root/part/…/<UTC time>-<8 hex digits>``, a prefix that was never used before."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return "/".join([root.rstrip("/"), *parts, f"{stamp}-{secrets.token_hex(4)}"])
