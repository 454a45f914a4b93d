"""A tiny model, a tiny dataset and a reference that was never disturbed, on a real S3 server."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lesiongen.stack import Stack
from lesiongen.storage import unique_prefix
from tests.diffusion.conftest import SIZE, build_dataset, build_pipeline
from tests.faults.runs import Run

# Every random draw, the moving average and a schedule are in use; every step is saved.
SETTINGS: dict[str, Any] = {
    "batch_size": 2, "gradient_accumulation_steps": 2, "image_size": SIZE, "learning_rate": 1e-3,
    "lr_scheduler": "cosine", "warmup_steps": 1, "snr_gamma": 5.0, "caption_dropout": 0.25, "class_balance_power": 0.5,
    "gradient_checkpointing": False,
    "validation_every": 2, "held_out_images": 2, "checkpoint_every": 1, "storage_patience": 120.0,
}  # fmt: skip


class Runs:
    """Makes runs of one S3 server, and keeps the reference of each configuration."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.base = str(build_pipeline(folder / "base"))
        self.dataset = build_dataset(folder / "data", {"train": 10, "validation": 2})
        self._numbers = itertools.count()
        self._references: dict[tuple[str, int, int], Run] = {}

    def make(self, method: str, *, steps: int, processes: int = 1, **settings: object) -> Run:
        """Returns a run that shares nothing with any other but model and data."""
        place = self.folder / f"run-{next(self._numbers):03d}"
        place.mkdir()
        config = SETTINGS | {"base": self.base, "method": method, "ema": method == "full", "max_train_steps": steps}
        adapter = {"rank": 2} if method == "lora" else {}
        return Run(
            config=config | adapter | {"processes": processes} | settings,
            dataset=self.dataset,
            checkpoints=unique_prefix("s3://lesiongen/faults"),
            output=str(place / "model"),
            environment={**self.stack.environment(), "MLFLOW_TRACKING_URI": "", "TMPDIR": str(place)},
            log=str(place / "log.txt"),
        )

    def assert_undisturbed(self, run: Run) -> None:
        """Compares a finished run, bit for bit, with one of the same configuration that nothing disturbed."""
        key = (run.config["method"], run.config["max_train_steps"], run.config["processes"])
        if key not in self._references:
            method, steps, processes = key
            self._references[key] = self.make(method, steps=steps, processes=processes)
            self._references[key].finish()
        assert run.losses() == self._references[key].losses()
        assert run.weights() == self._references[key].weights()


@pytest.fixture(scope="session")
def runs(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(stack, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def make_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Stack], Runs]:
    """Makes runs on a server of the test's own, which it may stop."""
    return lambda stack: Runs(stack, tmp_path_factory.mktemp("faults"))
