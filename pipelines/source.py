"""What a run reads from this machine: whether it exists, and the revision of a source."""

import hashlib
from pathlib import Path

from lesiongen.dataset import Dataset
from lesiongen.errors import UsageError

__all__ = ["check_dataset", "check_model", "checked_revision", "source_revision"]


def checked_revision(source: str, given: str | None) -> str:
    """Returns the revision of a source: the given one, or of this machine's that of its files; else an empty one.

    Raises:
        UsageError: The source is of this machine, and does not exist.
    """
    if "://" not in source and not Path(source).exists():
        raise UsageError(f"The source {source} does not exist.", hint="Give a folder, an archive or an s3:// address.")
    if given is not None:
        return given
    return "" if "://" in source else source_revision(Path(source))


def check_dataset(place: str) -> None:
    """Refuses a folder of this machine that is not a dataset; of S3, whose server may not run yet, nothing is asked.

    Raises:
        UsageError: The folder does not exist.
        LesionGenError: It is not a dataset, or one that this release cannot read.
    """
    if "://" not in place:
        Dataset.open(place)


def check_model(place: str) -> None:
    """Refuses a folder of this machine that is not a model; of S3 nothing is asked.

    Raises:
        UsageError: It is not.
        DataError: Its manifest cannot be understood.
    """
    if "://" not in place:
        from lesiongen.diffusion import open_model

        open_model(place)


def source_revision(source: Path) -> str:
    """Returns a short digest over the names, sizes and times of change of all files of a folder, or of an archive."""
    digest = hashlib.sha256()
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for path in paths:
        facts = path.stat()
        line = f"{path.relative_to(source).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
