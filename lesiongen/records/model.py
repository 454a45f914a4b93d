"""The content of ``_model.json``: what a generator is, what it came from, and every file with its digest."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from lesiongen.errors import DataError
from lesiongen.records.base import READING, Number, Record
from lesiongen.records.evaluation import Source
from lesiongen.storage import json_digest

__all__ = [
    "MODEL_DIGEST",
    "MODEL_NAME",
    "REFERENCE_NAME",
    "BaseReference",
    "FileDigest",
    "ModelManifest",
    "Training",
    "read_model",
]

MODEL_NAME = "_model.json"
REFERENCE_NAME = "reference.json"
"""In MLflow: address and version of a registered model."""
MODEL_DIGEST = "manifest_sha256"


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


class Training(Record):
    """How a model was trained."""

    config: dict[str, JsonValue] = {}
    fingerprint: str | None = None
    """Digest of all that decides the weights."""
    dataset: Source | None = None
    """What it was trained on; None for a base model that was built without images."""
    base_trained_on_own_images: bool = False
    """Whether the base was built from the same images, within the same run."""
    steps: int | None = None
    skipped_steps: int | None = None
    held_out_loss: Number = None
    images: int | None = None
    """Number of training images of a base model."""
    vae_peak_signal_to_noise_db: Number = None
    """How well the VAE of a base model reproduces held-out images."""


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
    training: Training
    libraries: dict[str, str]
    files: dict[str, FileDigest]
    manifest_sha256: str | None = None
    """SHA-256 of all else in the manifest; None in models of earlier releases."""


def read_model(content: bytes, name: str) -> ModelManifest:
    """Reads ``_model.json``.

    Args:
        content: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not a model manifest, or was changed after it was published.
    """
    try:
        manifest = ModelManifest.model_validate_json(content, context=READING)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise DataError(f"{name} is not a valid model manifest: {where}: {first['msg']}") from error
    others = {key: value for key, value in json.loads(content).items() if key != MODEL_DIGEST}
    if manifest.manifest_sha256 not in (None, json_digest(others)):
        hint = "Copy the model again from where it is whole, or publish it again."
        raise DataError(f"{name} is damaged: its content is not what {MODEL_DIGEST} says", hint=hint)
    return manifest
