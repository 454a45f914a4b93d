"""Checkpoints: safetensors and JSON, valid only once their manifest, written last, is there and agrees."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lesiongen.errors import StorageError
from lesiongen.patience import outlast
from lesiongen.storage import Storage, path_digest
from lesiongen.temporary import temporary_folder

__all__ = ["Checkpoint", "CheckpointStore", "Tensors"]

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
STATE = "state.json"
_STEP = re.compile(r"^step-(\d{8})/")
_PASSED_OVER: set[tuple[str, int]] = set()
"""Place and step of what this process found damaged: a run reads by one store and saves by another."""
_Result = TypeVar("_Result")

Tensors = Mapping[str, Mapping[str, torch.Tensor]]
"""Named tensors by group (``weights``, ``optimizer``, ``average``); each group is one file."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back, whole and verified."""

    step: int
    tensors: Tensors
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run, below one storage.

    Args:
        storage: A place of this run's own.
        keep: Number of checkpoints to keep; older ones are deleted.
        patience: Seconds that a storage which cannot be reached is waited for.
    """

    def __init__(self, storage: Storage, keep: int, patience: float = 0.0) -> None:
        self.storage, self.keep, self.patience = storage, keep, patience

    def save(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> None:
        """Writes a checkpoint: its files first, the manifest with their digests last; then deletes older ones.

        Of those before it, unfinished ones go too. Damaged ones that were passed over count for none that is kept; they
        go once there are enough good ones.

        Raises:
            StorageError: It could not be written; the checkpoints before it are as they were.
        """
        place = self.storage.child(_name(step))
        # A damaged checkpoint of the same step must not vouch for half of the new one.
        self._outlast(partial(place.delete, MANIFEST))
        digests: dict[str, str] = {}
        with temporary_folder("checkpoint") as folder:
            for group, values in tensors.items():
                path = folder / f"{group}.safetensors"
                _write(values, path)
                digests[path.name] = path_digest(path)
                self._outlast(partial(place.upload_file, path, path.name))
                path.unlink()  # the next group may be as large
        content = json.dumps(dict(state), allow_nan=False).encode()
        digests[STATE] = hashlib.sha256(content).hexdigest()
        self._outlast(partial(place.write_bytes, STATE, content))
        self._outlast(partial(place.write_json, MANIFEST, {"step": step, "files": digests}))
        logger.info("Checkpoint of step %d in %s", step, place.uri)
        _PASSED_OVER.discard((self.storage.uri, step))
        self._outlast(partial(self._rotate, step))

    def newest(self) -> Checkpoint | None:
        """Reads the newest whole checkpoint, found from the storage alone; None if there is none.

        One that is damaged or unfinished is named in a warning and passed over for the one before.

        Raises:
            StorageError: The storage cannot be reached or read, which says nothing of the checkpoints in it.
        """
        return self._outlast(self._newest)

    def clear(self) -> None:
        """Deletes all checkpoints of the run."""
        for step in self._steps():
            self._delete(step)

    def _outlast(self, work: Callable[[], _Result]) -> _Result:
        return outlast(work, self.patience)

    def _newest(self) -> Checkpoint | None:
        for step in sorted(self._steps(), reverse=True):
            try:
                return self._read(step)
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("Checkpoint %s/%s is passed over: %s", self.storage.uri, _name(step), str(error).strip())
                _PASSED_OVER.add((self.storage.uri, step))
            except OSError as error:
                raise StorageError(f"{self.storage.uri}/{_name(step)} cannot be read: {error}") from error
        return None

    def _read(self, step: int) -> Checkpoint:
        place = self.storage.child(_name(step))
        if not place.exists(MANIFEST):
            raise ValueError("it was never finished")
        listed: dict[str, str] = json.loads(place.read_bytes(MANIFEST))["files"]
        for name in listed:
            if not place.exists(name):
                raise ValueError(f"{name} is lost")
        tensors: dict[str, dict[str, torch.Tensor]] = {}
        content = place.read_bytes(STATE)
        _compare(STATE, hashlib.sha256(content).hexdigest(), listed)
        for name in sorted(set(listed) - {STATE}):
            with place.fetch(name) as path:
                _compare(name, path_digest(path), listed)
                # A copy: the file may be temporary, and load_file maps it.
                tensors[Path(name).stem] = {key: value.clone() for key, value in load_file(path).items()}
        return Checkpoint(step, tensors, json.loads(content))

    def _rotate(self, newest: int) -> None:
        # One of a later step was passed over as damaged: it must not take the place of one that can be read.
        steps = {step for step in self._steps() if step <= newest}
        finished = {step for step in steps if self.storage.exists(f"{_name(step)}/{MANIFEST}")}
        damaged = {step for step in finished if (self.storage.uri, step) in _PASSED_OVER}
        whole = sorted(finished - damaged)
        spared = damaged if len(whole) < self.keep else set()
        for step in sorted(steps - spared - set(whole[-self.keep :])):
            self._delete(step)
        self.storage.remove_abandoned()

    def _delete(self, step: int) -> None:
        place = self.storage.child(_name(step))
        place.delete(MANIFEST)  # first: a half-deleted checkpoint must not look whole
        place.delete_all()

    def _steps(self) -> set[int]:
        return set(_step_numbers(item.key for item in self.storage.list("step-")))


def _step_numbers(keys: Iterator[str]) -> Iterator[int]:
    for key in keys:
        if found := _STEP.match(key):
            yield int(found.group(1))


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _write(values: Mapping[str, torch.Tensor], path: Path) -> None:
    try:
        save_file({key: value.detach().cpu().contiguous() for key, value in values.items()}, path)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"{path.name} of a checkpoint cannot be written to {path.parent}: {error}",
            hint="Point TMPDIR to a place that has room for the largest file of a checkpoint.",
        ) from error


def _compare(name: str, found: str, listed: Mapping[str, str]) -> None:
    if listed[name] != found:
        raise ValueError(f"{name} differs from what its manifest says")
