"""A source on this machine: whether it exists, and its revision."""

import hashlib
from pathlib import Path

from lesiongen.errors import UsageError

__all__ = ["check_source", "revision_of", "source_revision"]


def check_source(source: str) -> None:
    """Refuses a source of this machine that does not exist.

    Raises:
        UsageError: It does not.
    """
    if "://" not in source and not Path(source).exists():
        raise UsageError(f"The source {source} does not exist.", hint="Give a folder, an archive or an s3:// address.")


def revision_of(source: str) -> str:
    """Returns the revision of a source of this machine; of any other, whose state is not known, an empty one."""
    return "" if "://" in source else source_revision(Path(source))


def source_revision(source: Path) -> str:
    """Returns a short digest over the names, sizes and times of change of all files of a folder, or of an archive."""
    digest = hashlib.sha256()
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for path in paths:
        facts = path.stat()
        line = f"{path.relative_to(source).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
