"""Model folders: a diffusers pipeline, or an adapter and the base it belongs to, and what they came from."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from lesiongen.diffusion.families.supported import hub_files
from lesiongen.diffusion.families.weight_files import refuse_single_file
from lesiongen.errors import DataError, UsageError
from lesiongen.model_files import DATA_SUFFIXES, model_files
from lesiongen.records.model import (
    MODEL_DIGEST,
    MODEL_NAME,
    BaseReference,
    FileDigest,
    ModelManifest,
    Training,
    read_model,
)
from lesiongen.references import ModelReference
from lesiongen.storage import Creation, Storage, already_holds, claimed, json_digest, open_storage, path_digest

__all__ = [
    "check_files",
    "folder_digest",
    "local_model",
    "model_version",
    "open_model",
    "publish",
    "published",
    "read_manifest",
    "write_manifest",
]

_LIBRARIES = ("accelerate", "diffusers", "lesiongen", "peft", "torch", "transformers")


def write_manifest(
    folder: Path,
    *,
    family: str,
    method: Literal["lora", "full", "base"],
    base: BaseReference | None,
    prediction_type: str,
    image_size: int,
    training: Training,
    original_side: int | None = None,
) -> ModelManifest:
    """Describes every file of a finished model folder in ``_model.json``."""
    manifest = ModelManifest(
        family=family,
        method=method,
        base=base,
        prediction=prediction_type,
        image_size=image_size,
        original_side=original_side,
        training=training,
        libraries={name: version(name) for name in _LIBRARIES},
        files={path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)},
    )
    plain = manifest.model_dump(mode="json", exclude={MODEL_DIGEST})
    manifest = ModelManifest(**plain, manifest_sha256=json_digest(plain))
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True)
    (folder / MODEL_NAME).write_text(text + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> ModelManifest | None:
    """Reads ``_model.json``; None where a folder has none (a plain diffusers pipeline).

    Raises:
        DataError: The manifest cannot be understood.
    """
    path = folder / MODEL_NAME
    return read_model(path.read_bytes(), str(path)) if path.is_file() else None


def model_version(folder: Path) -> str:
    """SHA-256 of the manifest or, where a folder has none, over the digests of its files."""
    if (folder / MODEL_NAME).is_file():
        return hashlib.sha256((folder / MODEL_NAME).read_bytes()).hexdigest()
    return folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and digests of a folder's data files: the others are not fetched from elsewhere."""
    files = [path for path in _files(folder) if path.suffix in DATA_SUFFIXES]
    listed = {path.relative_to(folder).as_posix(): _digest(path).sha256 for path in files}
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def check_files(folder: Path, manifest: ModelManifest) -> None:
    """Compares every file with the manifest.

    Raises:
        DataError: A data file is missing, or a file differs; the message names it.
    """
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder}: {MODEL_NAME} names a file outside the folder: {name[:200]!r}")
        if not path.is_file() and path.suffix not in DATA_SUFFIXES:
            continue  # a figure, which is not fetched with a model
        if not path.is_file():
            raise DataError(f"{folder}: {name} is missing")
        if _digest(path) != expected:
            raise DataError(f"{folder}: {name} differs from what {MODEL_NAME} says", hint="Publish it again.")


def publish(folder: Path, output: str) -> ModelReference:
    """Stores a finished model folder under a URI, its manifest last, so that half a model is never taken for one.

    Raises:
        UsageError: Something is already published there, or another process publishes there now.
    """
    if not (folder / MODEL_NAME).is_file():
        raise DataError(f"{folder} contains no {MODEL_NAME}")
    target = open_storage(output)
    content = (folder / MODEL_NAME).read_bytes()
    with claimed(target) as claim:
        _refuse_another(target)
        (folder / MODEL_NAME).unlink()
        with target.publishing() as place:
            place.upload_folder(folder, description="Publishing the model")
            claim.check(ask=True)
            _refuse_another(target)
            if place.create_bytes(MODEL_NAME, content) is Creation.TAKEN:
                raise already_holds(target.uri, "a model")
    return _reference(target, content)


def _refuse_another(target: Storage) -> None:
    if target.exists(MODEL_NAME):
        raise already_holds(target.uri, "a model")


def published(output: str) -> tuple[ModelManifest, ModelReference] | None:
    """Finds what was published under a URI before; None where nothing was.

    Raises:
        DataError: The manifest cannot be understood.
    """
    target = open_storage(output)
    if not target.exists(MODEL_NAME):
        return None
    content = target.read_bytes(MODEL_NAME)
    return read_model(content, f"{target.uri}/{MODEL_NAME}"), _reference(target, content)


def open_model(uri: str) -> ModelReference:
    """Returns the reference of a model that was published in a folder or under an ``s3://`` prefix.

    Raises:
        UsageError: No model was published there.
        DataError: Its manifest cannot be understood.
    """
    if (found := published(uri)) is None:
        hint = "Name the folder or the s3:// prefix that finetune has published, or that base-model build has."
        raise UsageError(f"{uri} contains no {MODEL_NAME}", hint=hint)
    return found[1]


def _reference(target: Storage, content: bytes) -> ModelReference:
    manifest = read_model(content, target.uri)
    return ModelReference(
        uri=target.uri,
        version=hashlib.sha256(content).hexdigest(),
        family=manifest.family,
        method=manifest.method,
        base=manifest.base.uri if manifest.base else "",
    )


@contextmanager
def local_model(uri: str, revision: str | None = None) -> Iterator[Path]:
    """Gives a model as a local folder, its files checked against its manifest where it has one.

    Args:
        uri: A folder, an ``s3://`` prefix, or a hub id (``owner/name``).
        revision: Commit of the hub repository.

    Raises:
        UsageError: The address holds no model.
        DataError: A file is missing or damaged.
    """
    refuse_single_file(uri)
    with model_files(uri, revision, hub_files()) as folder:
        yield _checked(folder, uri)


def _checked(folder: Path, uri: str) -> Path:
    manifest = read_manifest(folder)
    if manifest is not None:
        check_files(folder, manifest)
    elif not (folder / "model_index.json").is_file():
        for path in sorted(folder.glob("*.safetensors")):
            refuse_single_file(str(path))
        raise UsageError(
            f"{uri} contains no model: neither {MODEL_NAME} nor model_index.json is there",
            hint="Give a folder or s3:// prefix written by finetune, a diffusers pipeline, or a hub id.",
        )
    return folder


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MODEL_NAME)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _digest(path: Path) -> FileDigest:
    return FileDigest(size=path.stat().st_size, sha256=path_digest(path))
