"""The model that a fine-tuning begins from, brought to a local folder."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lesiongen.diffusion.config import TINY_BASE, FinetuneConfig
from lesiongen.diffusion.model.folder import local_model, model_version, publish, read_manifest
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.errors import UsageError
from lesiongen.packaged_models import packaged_model
from lesiongen.records.model import MODEL_NAME, BaseReference
from lesiongen.storage import Storage, open_storage
from lesiongen.temporary import temporary_folder

__all__ = ["Base", "base_at", "base_version", "prepared_base"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Base:
    """A base model in a local folder."""

    folder: Path
    address: str
    """Where another host finds it; a folder of this one is not found there."""
    reference: BaseReference
    built: bool
    """Whether it was built from the run's own training images."""


@contextmanager
def prepared_base(config: FinetuneConfig, dataset_uri: str, place: Storage) -> Iterator[Base]:
    """Fetches the base model, or builds the tiny one.

    Args:
        config: Names the base.
        dataset_uri: Dataset whose training images the tiny base is built from.
        place: Where a built base is kept, so that a restarted run finds it.

    Raises:
        UsageError: The base is missing, or it is an adapter.
    """
    uri, revision, tiny = config.base_model.base, config.base_model.base_revision, config.base_model.tiny
    if tiny is not None:
        _build(tiny, dataset_uri, place)
    with local_model(uri if tiny is None else place.uri, revision) as folder:
        manifest = read_manifest(folder)
        if manifest is not None and manifest.method == "lora":
            raise UsageError(f"{uri} is an adapter; give the model that it was trained from as the base")
        reference = _reference(config, folder)
        yield Base(folder, reference.uri if tiny is None else place.uri, reference, built=tiny is not None)


@contextmanager
def base_at(address: str, revision: str | None) -> Iterator[Path]:
    """Gives a base that `prepared_base` has looked at: a folder of this host as it is, another one fetched.

    Raises:
        UsageError: The model is missing.
        DataError: A file that was fetched is damaged.
    """
    if Path(address).is_dir():
        yield Path(address)
    else:
        with local_model(address, revision) as folder:
            yield folder


def base_version(config: FinetuneConfig) -> str:
    """Identifies the base before anything is trained; a tiny base by the configuration it is built from."""
    uri, tiny = config.base_model.base, config.base_model.tiny
    if tiny is not None:
        return tiny.model_dump_json()
    if uri.startswith("s3://") and open_storage(uri).exists(MODEL_NAME):
        return hashlib.sha256(open_storage(uri).read_bytes(MODEL_NAME)).hexdigest()
    with local_model(uri, config.base_model.base_revision) as folder:
        return model_version(folder)


def _build(config: TinyBaseConfig, dataset_uri: str, place: Storage) -> None:
    from lesiongen.diffusion.tiny.build import build_base_model

    if place.exists(MODEL_NAME):
        logger.info("Using the tiny base model built before, in %s", place.uri)
        return
    logger.info("The base model 'tiny' is built from the run's own training images: nothing is pretrained.")
    with temporary_folder("base") as folder:
        build_base_model(config, dataset_uri, folder)
        publish(folder, place.uri)


def _reference(config: FinetuneConfig, folder: Path) -> BaseReference:
    uri, revision = config.base_model.base, config.base_model.base_revision
    if uri != TINY_BASE and packaged_model(uri) is None and not uri.startswith("s3://"):
        if Path(uri).is_dir():
            uri = str(Path(uri).resolve())
        elif re.fullmatch("[0-9a-f]{40}", folder.name):
            revision = folder.name  # the hub's cache names a snapshot by its commit
    return BaseReference(uri=uri, revision=revision, version=model_version(folder))
