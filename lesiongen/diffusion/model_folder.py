"""Model folders: a diffusers pipeline, or an adapter and the base it belongs to, and what they came from."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.diffusion.weight_files import refuse_single_file
from lesiongen.errors import DataError, UsageError
from lesiongen.model_files import DATA_SUFFIXES, model_files
from lesiongen.references import ModelReference
from lesiongen.storage import Creation, Storage, claimed, json_digest, open_storage

__all__ = [
    "HUB_FILES",
    "MANIFEST",
    "BaseReference",
    "FileDigest",
    "ModelManifest",
    "check_files",
    "folder_digest",
    "local_model",
    "model_version",
    "publish",
    "published",
    "read_manifest",
    "write_manifest",
]

MANIFEST = "_model.json"
_DIGEST = "manifest_sha256"
_LIBRARIES = ("accelerate", "diffusers", "lesiongen", "peft", "torch", "transformers")
_TEXT_ENCODERS, _TOKENIZERS = ("text_encoder", "text_encoder_2"), ("tokenizer", "tokenizer_2")
_PARTS = ("scheduler", *_TEXT_ENCODERS, *_TOKENIZERS, "unet", "vae")
# Exact names: a hub repository also holds pickles, other precisions and a safety checker.
HUB_FILES = [
    "model_index.json",
    *(f"{part}/*.json" for part in _PARTS),
    *(f"{part}/*.txt" for part in _TOKENIZERS),
    *(f"{part}/model.safetensors" for part in _TEXT_ENCODERS),
    *(f"{part}/model-*-of-*.safetensors" for part in _TEXT_ENCODERS),
    *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
    *(f"{part}/diffusion_pytorch_model-*-of-*.safetensors" for part in ("unet", "vae")),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileDigest(_Frozen):
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


class BaseReference(_Frozen):
    """The model that a generator was trained from, and that its adapter needs."""

    uri: str
    revision: str | None = None
    version: str


class ModelManifest(_Frozen):
    """Content of ``_model.json``: what the model is, what it came from, and every file with its digest."""

    schema_version: Literal[1] = 1
    kind: Literal["model"] = "model"
    family: str
    method: Literal["lora", "full", "base"]
    base: BaseReference | None
    prediction: str
    image_size: int
    original_side: int | None = None
    """Median side of the training images' centre squares before they were resized; None where it is not known."""
    training: dict[str, Any]
    """Configuration, fingerprint, dataset version, steps and losses."""
    libraries: dict[str, str]
    files: dict[str, FileDigest]
    manifest_sha256: str | None = None
    """SHA-256 of all else in the manifest; None in models of earlier releases."""


def write_manifest(
    folder: Path,
    *,
    family: str,
    method: Literal["lora", "full", "base"],
    base: BaseReference | None,
    prediction: str,
    image_size: int,
    training: dict[str, Any],
    original_side: int | None = None,
) -> ModelManifest:
    """Describes every file of a finished model folder in ``_model.json``."""
    manifest = ModelManifest(
        family=family,
        method=method,
        base=base,
        prediction=prediction,
        image_size=image_size,
        original_side=original_side,
        training=training,
        libraries={name: version(name) for name in _LIBRARIES},
        files={path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)},
    )
    manifest = manifest.model_copy(update={_DIGEST: json_digest(manifest.model_dump(mode="json", exclude={_DIGEST}))})
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> ModelManifest | None:
    """Reads ``_model.json``; None where a folder has none (a plain diffusers pipeline).

    Raises:
        DataError: The manifest cannot be understood.
    """
    path = folder / MANIFEST
    return _parsed(path.read_bytes(), str(path)) if path.is_file() else None


def model_version(folder: Path) -> str:
    """SHA-256 of the manifest or, where a folder has none, over the digests of its files."""
    if (folder / MANIFEST).is_file():
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
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
            raise DataError(f"{folder}: {MANIFEST} names a file outside the folder: {name[:200]!r}")
        if not path.is_file() and path.suffix not in DATA_SUFFIXES:
            continue  # a picture, which is not fetched with a model
        if not path.is_file():
            raise DataError(f"{folder}: {name} is missing")
        if _digest(path) != expected:
            raise DataError(f"{folder}: {name} differs from what {MANIFEST} says", hint="Publish it again.")


def publish(folder: Path, output: str) -> ModelReference:
    """Stores a finished model folder under a URI, its manifest last, so that half a model is never taken for one.

    Raises:
        UsageError: Something is already published there, or another process publishes there now.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder} holds no {MANIFEST}")
    target = open_storage(output)
    content = (folder / MANIFEST).read_bytes()
    with claimed(target) as claim:
        _refuse_another(target)
        (folder / MANIFEST).unlink()
        with target.publishing() as place:
            place.upload_folder(folder, description="Publishing the model")
            claim.check(ask=True)
            _refuse_another(target)
            if place.create_bytes(MANIFEST, content) is Creation.TAKEN:
                raise _taken(target)
    return _reference(target, content)


def _refuse_another(target: Storage) -> None:
    if target.exists(MANIFEST):
        raise _taken(target)


def _taken(target: Storage) -> UsageError:
    return UsageError(f"{target.uri} already holds a model", hint="Choose a new place for this one.")


def published(output: str) -> tuple[ModelManifest, ModelReference] | None:
    """Finds what was published under a URI before; None where nothing was.

    Raises:
        DataError: The manifest cannot be understood.
    """
    target = open_storage(output)
    if not target.exists(MANIFEST):
        return None
    content = target.read_bytes(MANIFEST)
    return _parsed(content, f"{target.uri}/{MANIFEST}"), _reference(target, content)


def _reference(target: Storage, content: bytes) -> ModelReference:
    manifest = _parsed(content, target.uri)
    return ModelReference(
        uri=target.uri,
        version=hashlib.sha256(content).hexdigest(),
        family=manifest.family,
        method=manifest.method,
        base=manifest.base.uri if manifest.base else "",
    )


def _parsed(content: bytes, name: str) -> ModelManifest:
    try:
        manifest = ModelManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise DataError(f"{name} is not a valid model manifest: {where}: {first['msg']}") from error
    others = {key: value for key, value in json.loads(content).items() if key != _DIGEST}
    if manifest.manifest_sha256 not in (None, json_digest(others)):
        hint = "Copy the model again from where it is whole, or publish it again."
        raise DataError(f"{name} is damaged: its content is not what {_DIGEST} says", hint=hint)
    return manifest


@contextmanager
def local_model(uri: str, revision: str | None = None) -> Iterator[Path]:
    """Gives a model as a local folder, its files checked against its manifest where it has one.

    Args:
        uri: A folder, an ``s3://`` prefix, or a hub id (``owner/name``).
        revision: Commit of the hub repository.

    Raises:
        UsageError: There is no model there.
        DataError: A file is missing or damaged.
    """
    refuse_single_file(uri)
    with model_files(uri, revision, HUB_FILES) as folder:
        yield _checked(folder, uri)


def _checked(folder: Path, uri: str) -> Path:
    manifest = read_manifest(folder)
    if manifest is not None:
        check_files(folder, manifest)
    elif not (folder / "model_index.json").is_file():
        for path in sorted(folder.glob("*.safetensors")):
            refuse_single_file(str(path))
        raise UsageError(
            f"{uri} holds no model: neither {MANIFEST} nor model_index.json is there",
            hint="Give a folder or s3:// prefix written by finetune, a diffusers pipeline, or a hub id.",
        )
    return folder


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _digest(path: Path) -> FileDigest:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileDigest(size=path.stat().st_size, sha256=sha256)
