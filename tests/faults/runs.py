"""Training runs that a test may kill: each in a process of its own, which finds nothing of the one before on its disk.

The processes are forked from a server that has imported what they need, which takes seconds; what they compute,
read and write they begin anew.
"""

import json
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.errors import LesionGenError
from lesiongen.storage import Storage, open_storage

FAILED = 3
PRELOADED = [
    "lesiongen.captions", "lesiongen.diffusion", "lesiongen.evaluation", "lesiongen.ingestion", "lesiongen.validation",
    "lesiongen.launch.trainjob", "boto3", "diffusers", "kfp", "kubernetes", "peft", "transformers",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What is trained, from which data, and where checkpoints and the model go."""

    config: dict[str, Any]
    dataset: str
    checkpoints: str
    output: str
    environment: dict[str, str]
    log: str

    def start(self, *, kill_before_write: int | None = None) -> BaseProcess:
        """Starts it; with a number it kills itself before that write of its checkpoints (1 is the first)."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        process = context.Process(target=_work, args=(self, kill_before_write), daemon=True)
        process.start()
        return process

    def saved(self) -> set[int]:
        """Returns the steps of the whole checkpoints that are on the server."""
        keys = [item.key.split("/") for item in open_storage(self.checkpoints).list()]
        return {int(key[-2].removeprefix("step-")) for key in keys if key[-1] == "manifest.json"}

    def newest(self) -> int:
        """Returns the step of the newest checkpoint that can be read; 0 where there is none."""
        place = open_storage(self.checkpoints)
        for key in {item.key.split("/")[0] for item in place.list() if "/step-" in item.key}:
            found = CheckpointStore(place.child(key), keep=1).newest()
            return found.step if found else 0
        return 0

    def await_step(self, process: BaseProcess) -> None:
        """Waits until a process of this run has saved a step more, or has ended."""
        before, until = self.saved(), time.monotonic() + 120
        while process.is_alive() and not self.saved() - before:
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def finish(self) -> None:
        """Runs it to its end."""
        process = self.start()
        process.join(timeout=240)
        assert process.exitcode == 0, self.said()

    def said(self) -> str:
        """Returns the log of all its starts."""
        return Path(self.log).read_text()

    def losses(self) -> list[float]:
        """Returns the loss of every step of the finished run."""
        losses: list[float] = json.loads(Path(self.output, "losses.json").read_text())["losses"]
        return losses

    def weights(self) -> dict[str, bytes]:
        """Returns the bytes of every weight of the finished run."""
        (path,) = [
            path
            for name in ("unet/diffusion_pytorch_model.safetensors", "pytorch_lora_weights.safetensors")
            if (path := Path(self.output, name)).is_file()
        ]
        return {name: values.tobytes() for name, values in load_file(path).items()}


def _work(run: Run, kill_before_write: int | None) -> None:
    import torch

    from lesiongen.diffusion import FinetuneConfig, finetune

    torch.set_num_threads(1)
    os.environ.update(run.environment)
    logging.basicConfig(filename=run.log, level=logging.INFO, force=True)
    if kill_before_write is not None:
        _kill_before(kill_before_write)
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        try:
            finetune(FinetuneConfig().changed(**run.config), run.dataset, run.output, checkpoints=run.checkpoints)
        except LesionGenError as error:
            logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  the tests read the sentence
            os._exit(FAILED if error.exit_code == 1 else error.exit_code)


def _kill_before(number: int) -> None:
    """Counts all that changes the storage of checkpoints, and kills this process before the given change."""
    from lesiongen.storage.s3 import S3Storage

    left = number

    def counted(name: str) -> None:
        plain = getattr(S3Storage, name)

        def change(self: Storage, *arguments: Any) -> None:
            nonlocal left
            if "/step-" in self.uri or "step-" in str(arguments[-1]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            plain(self, *arguments)

        setattr(S3Storage, name, change)

    for name in ("write_bytes", "upload_file", "delete"):
        counted(name)
