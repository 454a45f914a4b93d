"""Checkpoints written beside the training, which continues meanwhile."""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import torch

from lesiongen.diffusion.checkpoints.store import CheckpointStore, Tensors

__all__ = ["CheckpointWriter"]

logger = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes the checkpoints of one training in a thread, one at a time.

    The training waits only for a copy of its state in memory, and for the checkpoint before where that one is still
    on its way: no more than one copy is ever held. As a context it ends once the last checkpoint is written.

    Args:
        store: Where they go.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self.store = store
        self._writing: Future[None] | None = None

    def save(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> None:
        """Copies a state and begins to write it.

        Args:
            step: Number of steps taken.
            tensors: They may change as soon as this returns.
            state: JSON values that nobody changes any more.

        Raises:
            StorageError: The checkpoint before could not be written.
        """
        self.wait()
        copy = {group: _copied(values) for group, values in tensors.items()}
        self._writing = Future()
        # A daemon, unlike a pool's thread: a second Ctrl-C does not wait for an upload.
        threading.Thread(target=self._write, args=(self._writing, step, copy, state), daemon=True).start()

    def wait(self) -> None:
        """Returns when what was begun is written.

        Raises:
            StorageError: It could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, writing: "Future[None]", step: int, copy: Tensors, state: Mapping[str, Any]) -> None:
        try:
            self.store.save(step, copy, state)
        except (
            BaseException
        ) as error:  # safetensors' panics are not an Exception; unreported, they would be waited for for ever
            writing.set_exception(error)
        else:
            writing.set_result(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()
        elif issubclass(kind, Exception):
            try:
                self.wait()
            except Exception as lost:  # the training's own error says more
                logger.warning("The last checkpoint could not be written: %s", lost)


def _copied(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in values.items()}
