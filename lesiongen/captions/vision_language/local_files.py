"""Brings a local model's files here: configuration, tokenizer and safetensors, never pickles or code."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lesiongen.errors import UsageError
from lesiongen.model_files import model_files
from lesiongen.storage import file_digest, readable

__all__ = ["files_digest", "local_files"]

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja")


@contextmanager
def local_files(name: str, revision: str | None) -> Iterator[Path]:
    """Gives a model as a local folder.

    Args:
        name: A folder, an ``s3://`` prefix, or a hub id (``owner/name``).
        revision: Commit of the hub repository.

    Raises:
        UsageError: The address holds no model.
        StorageError: It cannot be fetched.
    """
    with model_files(name, revision, _WANTED) as folder:
        yield _checked(folder, name)


def files_digest(folder: Path) -> str:
    """Returns the SHA-256 over the names and contents of the files that make the model."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _WANTED for path in folder.glob(pattern)}):
        with readable(path) as stream:
            digest.update(f"{path.name}\0{file_digest(stream)}\n".encode())
    return digest.hexdigest()


def _checked(folder: Path, name: str) -> Path:
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"vision_language.model = {name!r}: missing config.json",
            hint="Give the folder or s3:// prefix of a transformers image-text-to-text model, or its name on the hub.",
        )
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"vision_language.model = {name!r} has no safetensors",
            hint="Other weights are pickles, which can run code; convert them with save_pretrained.",
        )
    return folder
