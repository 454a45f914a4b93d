"""The revision of a source on this machine."""

import hashlib
from pathlib import Path

__all__ = ["source_revision"]


def source_revision(source: Path) -> str:
    """Returns a short digest over the names, sizes and times of change of all files of a folder, or of an archive."""
    digest = hashlib.sha256()
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for path in paths:
        facts = path.stat()
        line = f"{path.relative_to(source).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
