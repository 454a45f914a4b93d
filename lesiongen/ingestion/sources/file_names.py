"""Names of the files in a source: which files are a system's own, and names that are not UTF-8."""

import re
import unicodedata
from pathlib import PurePosixPath

__all__ = ["composed", "is_system_file", "readable_name", "readable_path"]

_SYSTEM_NAMES = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "@recycle",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
}
"""What macOS, Windows, network drives and Python put into folders, in lower case."""
_SURROGATES = re.compile("[\udc80-\udcff]")


def composed(text: str) -> str:
    """Returns a name with accented letters as one character each: macOS takes them apart in file names."""
    return unicodedata.normalize("NFC", text)


def is_system_file(key: str) -> bool:
    """Tells whether a file, or a folder above it, is hidden or made by a system: such files are never read.

    Hidden is what begins with a dot, such as ``._photo.jpg``, ``.DS_Store``, ``.ipynb_checkpoints`` and
    ``.Trash-1000``. The rule holds for folders, archives and S3 alike.

    Args:
        key: Path of the file within its source.
    """
    return any(_is_of_a_system(part) for part in PurePosixPath(key).parts)


def readable_name(raw: bytes) -> str:
    """Returns a file's name as text: UTF-8, or else Windows-1252, which Latin-1's letters are a part of.

    Bytes that neither knows become U+FFFD, so that the result can always be written as UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def readable_path(path: str) -> str:
    """Returns a path or a name as text where the system, or `tarfile`, has put surrogates for bytes that are not UTF-8.

    Each part is decoded by itself, as `readable_name` does: folders of one path may have been named by different
    systems.
    """
    if not _SURROGATES.search(path):
        return path
    return "/".join(readable_name(part.encode("utf-8", "surrogateescape")) for part in path.split("/"))


def _is_of_a_system(part: str) -> bool:
    return (part.startswith(".") and part != "..") or part.lower() in _SYSTEM_NAMES
