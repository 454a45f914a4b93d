"""The revision of a local source folder."""

import hashlib
from pathlib import Path

__all__ = ["folder_revision"]


def folder_revision(folder: Path) -> str:
    """Returns a short digest over the names, sizes and times of change of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        facts = path.stat()
        line = f"{path.relative_to(folder).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
