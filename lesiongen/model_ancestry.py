"""The LesionGen models that a generator began from, and what these have seen."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesiongen.errors import DataError
from lesiongen.packaged_models import packaged_model
from lesiongen.records.model import MODEL_NAME, BaseReference, ModelManifest, read_model
from lesiongen.records.seen import FINGERPRINTS_NAME, SEEN_NAME, SeenImages, read_seen
from lesiongen.storage import Storage, open_storage, path_digest

__all__ = ["Ancestor", "UnknownAncestorError", "ancestors", "model_at"]

_PIPELINE_FILE = "model_index.json"


class UnknownAncestorError(Exception):
    """It is no longer known what a model began from."""


@dataclass(frozen=True)
class Ancestor:
    """A LesionGen model at its address: a generator, or a model that it was trained from.

    Attributes:
        manifest: What it is.
        storage: Where it is.
    """

    manifest: ModelManifest
    storage: Storage

    def seen(self) -> SeenImages | None:
        """Returns what it was trained on, as it is shipped with it; None where that is not.

        Raises:
            DataError: The list is not the one that was published.
        """
        if SEEN_NAME not in self.manifest.files:
            return None
        content = self.storage.read_bytes(SEEN_NAME)
        if hashlib.sha256(content).hexdigest() != self.manifest.files[SEEN_NAME].sha256:
            raise self._damaged(SEEN_NAME)
        return read_seen(content, f"{self.storage.uri}/{SEEN_NAME}")

    def fingerprints(self) -> NDArray[np.uint8]:
        """Returns the fingerprints of the images of `seen` [images, 4384].

        Raises:
            DataError: They are not those that were published.
        """
        from safetensors.numpy import load_file

        with self.storage.fetch(FINGERPRINTS_NAME) as path:
            if path_digest(path) != self.manifest.files[FINGERPRINTS_NAME].sha256:
                raise self._damaged(FINGERPRINTS_NAME)
            return np.asarray(load_file(path)["fingerprints"], dtype=np.uint8)

    def _damaged(self, name: str) -> DataError:
        hint = "Copy the model again from where it is whole, or publish it again."
        return DataError(f"{self.storage.uri}/{name} differs from what {MODEL_NAME} says", hint=hint)


def model_at(uri: str, version: str) -> Ancestor:
    """Returns a model whose address and version are known.

    Raises:
        UnknownAncestorError: It is not there, or is another one.
        StorageError: It cannot be reached.
    """
    storage = open_storage(packaged_model(uri) or uri)
    if not storage.exists(MODEL_NAME):
        raise UnknownAncestorError(f"the model {uri} is no longer there")
    content = storage.read_bytes(MODEL_NAME)
    if hashlib.sha256(content).hexdigest() != version:
        raise UnknownAncestorError(f"the model {uri} is no longer the version {version[:12]}")
    try:
        return Ancestor(read_model(content, f"{storage.uri}/{MODEL_NAME}"), storage)
    except DataError as error:
        raise UnknownAncestorError(str(error)) from error


def ancestors(model: ModelManifest) -> Iterator[Ancestor]:
    """Yields the LesionGen models that a model began from, the nearest first.

    Other bases (a hub id, a diffusers pipeline without ``_model.json``) do not say what they have seen: with them it
    ends, as with a base that was built from the training's own images.

    Raises:
        UnknownAncestorError: A base is not there any more, or is another one.
        StorageError: A base cannot be reached.
    """
    following = model
    # It ends: every base is named by the digest of its manifest, so none leads back.
    while not following.training.base_trained_on_own_images and (base := following.base) is not None:
        if not _is_address(base) or _is_foreign(base):
            return
        found = model_at(base.uri, base.version)
        yield found
        following = found.manifest


def _is_address(base: BaseReference) -> bool:
    """Tells an address from a hub id: folders are written down with their whole path, models of the package by name."""
    return "://" in base.uri or Path(base.uri).is_absolute() or packaged_model(base.uri) is not None


def _is_foreign(base: BaseReference) -> bool:
    storage = open_storage(packaged_model(base.uri) or base.uri)
    return not storage.exists(MODEL_NAME) and storage.exists(_PIPELINE_FILE)
