"""The manifest: what makes a folder of shards a dataset, written last."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field, field_serializer

from lesiongen.dataset.schema import SCHEMA_VERSION, SPLITS
from lesiongen.errors import DataError, UsageError
from lesiongen.records.base import LENIENT
from lesiongen.records.origin import Origin
from lesiongen.storage import LocalStorage, Storage, json_digest

__all__ = ["MANIFEST_NAME", "DatasetManifest", "Shard", "read_manifest"]

MANIFEST_NAME = "_dataset.json"


_DIGEST = "manifest_sha256"


class Shard(BaseModel):
    """One Parquet file of a dataset."""

    model_config = ConfigDict(frozen=True)

    name: str
    split: str
    rows: int
    bytes: int
    sha256: str
    footer_sha256: str | None = None
    """SHA-256 of the footer, by which a reader of a part checks it; None in datasets of earlier releases."""


class DatasetManifest(BaseModel):
    """What a dataset holds and where it came from."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    """UTC, ISO 8601."""
    licence: str | None
    attribution: str | None
    origin: Origin
    """How the dataset was made: the stage, its configuration, and the versions of what it read."""
    rows: int
    splits: dict[str, int]
    classes: dict[str, int]
    shards: tuple[Shard, ...]

    @field_serializer("origin")
    def _as_stored(self, origin: Origin) -> dict[str, Any]:
        return origin.content()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def manifest_sha256(self) -> str:
        """SHA-256 of all else in the manifest, by which a reader finds it changed."""
        return json_digest(self.model_dump(mode="json", exclude={_DIGEST}))

    @property
    def version(self) -> str:
        """SHA-256 over the schema version and the digest of every shard: equal data, equal version."""
        content = [self.schema_version, [[shard.name, shard.sha256] for shard in self.shards]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def shards_of(self, split: str | None) -> Iterable[Shard]:
        """Returns the shards of one split, or all, in the order of `SPLITS`."""
        if split is not None and split not in SPLITS:
            raise UsageError(f"Unknown split {split!r}", hint=f"Splits are {', '.join(SPLITS)}.")
        return (shard for shard in self.shards if split in (None, shard.split))


def read_manifest(storage: Storage) -> DatasetManifest:
    """Reads the manifest of a dataset.

    Raises:
        UsageError: The manifest is missing: nothing was published there, or the dataset is not finished.
        StorageError: The storage cannot be reached.
        DataError: The manifest is damaged, or of a later schema version.
    """
    if isinstance(storage, LocalStorage) and not storage.root.exists():
        raise UsageError(f"{storage.uri} does not exist", hint="Check the path of the dataset.")
    if not storage.exists(MANIFEST_NAME):
        raise UsageError(
            f"{storage.uri} is not a dataset: it contains no {MANIFEST_NAME}",
            hint="Give the folder or prefix that a stage has written, for example by lesiongen ingest.",
        )
    content = storage.read_json(MANIFEST_NAME)
    try:
        manifest = DatasetManifest.model_validate(content, context=LENIENT)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise _damaged(storage, f"{where}: {first['msg']}") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise DataError(
            f"{storage.uri} has schema version {manifest.schema_version}; this release reads {SCHEMA_VERSION}",
            hint="Use the release of LesionGen that wrote it, or a later one.",
        )
    others = {name: value for name, value in content.items() if name != _DIGEST}
    if content.get(_DIGEST) not in (None, json_digest(others)):  # earlier releases wrote none
        raise _damaged(storage, f"its content is not what {_DIGEST} says")
    return manifest


def _damaged(storage: Storage, why: str) -> DataError:
    return DataError(
        f"{storage.uri}/{MANIFEST_NAME} is damaged: {why}",
        hint="Copy the dataset again from where it is whole, or publish it again.",
    )
