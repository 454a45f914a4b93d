"""Fine-tuning, from a captioned dataset to a published generator."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.diffusion.base import Base, base_version, prepared_base
from lesiongen.diffusion.cache import LatentCache, Orientations, cached
from lesiongen.diffusion.checkpoints import Checkpoint, CheckpointStore
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.family import ModelFamily, family_of
from lesiongen.diffusion.learner import precision_for
from lesiongen.diffusion.model_folder import MANIFEST, publish
from lesiongen.diffusion.save import loss_curve, save_model
from lesiongen.diffusion.stopping import stop_request
from lesiongen.diffusion.trainer import History, Trainer
from lesiongen.errors import UsageError
from lesiongen.references import ModelReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import open_storage
from lesiongen.tracking import StageRun, stage_run

__all__ = ["FinetuneResult", "finetune"]

logger = logging.getLogger(__name__)
# What these say changes neither the weights nor their meaning, so a restart may change them.
_FREE = {"preset", "name", "checkpoint_every", "keep_checkpoints", "validation_every", "validation_images",
         "log_every", "max_nonfinite"}  # fmt: skip
TRAINING_FORMAT = 1
"""Number of the training's arithmetic and of its checkpoints' layout; a change of either takes the next."""


@dataclass(frozen=True)
class FinetuneResult:
    """A published generator and how its training went."""

    model: ModelReference
    losses: tuple[float | None, ...]
    """Loss of every step, None where it was not finite."""
    held_out_loss: float | None
    """At the last step; None where the dataset has no validation images, or it was not finite."""
    steps: int
    skipped_steps: int
    """Steps left out because their gradient was not finite."""
    resumed_from: int | None
    """Step of the checkpoint that this call went on from."""
    checkpoints: str


def finetune(
    config: FinetuneConfig,
    dataset_uri: str,
    output: str,
    *,
    checkpoints: str | None = None,
    resume: bool = True,
) -> FinetuneResult:
    """Trains a generator on the ``train`` split of a captioned dataset and publishes it.

    The ``validation`` split only measures the held-out loss; ``test`` is never read. A run is known by its
    configuration, dataset, base and version of this code: started again with the same, it goes on from its newest
    checkpoint, and on a CPU ends with the very weights of a run that was never stopped.

    Args:
        config: What and how to train.
        dataset_uri: A captioned dataset.
        output: A new folder or ``s3://`` prefix for the model.
        checkpoints: Where checkpoints and a built base are kept; None: beside the output.
        resume: Whether to go on from a checkpoint, where there is one.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; the state is saved.
        DataError: An image has no caption, or the dataset no training images.
        UsageError: The base is no model, or the output is taken.
        StorageError: Dataset, base or checkpoints cannot be reached; no checkpoint is lost.
        LesionGenError: Training diverged.
    """
    if open_storage(output).exists(MANIFEST):
        raise UsageError(f"{output} already holds a model", hint="Choose another output: versions are never reused.")
    dataset = Dataset.open(dataset_uri)
    place = open_storage(checkpoints or f"{output.rstrip('/')}-checkpoints").child(_fingerprint(config, dataset))
    store = CheckpointStore(place, config.keep_checkpoints)
    saved = store.newest() if resume else None
    with (
        stop_request() as stop,
        stage_run("finetune", config.model_dump(mode="json"), _run_id(saved)) as run,
        prepared_base(config, dataset_uri, place.child("base")) as base,
        _workspace() as workspace,
    ):
        accelerator = _accelerator(config)
        family = family_of(base.folder, config.prediction)
        training, held_out = _encoded(config, dataset, family, accelerator.device, workspace)
        trainer = Trainer(config, family, training, held_out, accelerator, store, run)
        resumed_from = _begin(trainer, saved, run, resume)
        del saved  # as large as the model and its optimizer
        with stop.deferred():
            history = trainer.train(stop)
        model = _published(config, base, family, trainer, dataset, output)
        _report(run, history, model)
    return FinetuneResult(
        model=model,
        losses=tuple(history.losses),
        held_out_loss=history.held_out[-1][1] if history.held_out else None,
        steps=history.step,
        skipped_steps=history.skipped,
        resumed_from=resumed_from,
        checkpoints=place.uri,
    )


def _fingerprint(config: FinetuneConfig, dataset: Dataset) -> str:
    parts = {
        "config": config.model_dump(mode="json", exclude=_FREE),
        "dataset": dataset.reference().version,
        "base": base_version(config),
        "code": [__version__, TRAINING_FORMAT],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _begin(trainer: Trainer, saved: Checkpoint | None, run: StageRun, resume: bool) -> int | None:
    if not resume:
        trainer.checkpoints.clear()
    if saved is not None:
        trainer.resume(saved)
    trainer.history.run_id, trainer.history.pipeline_run = run.run_id, _pipeline_run()
    return saved.step if saved is not None else None


def _run_id(saved: Checkpoint | None) -> str | None:
    """Names the MLflow run to go on with; the run of another pipeline run is that one's record, and stays as it is."""
    if saved is None or saved.state["history"]["pipeline_run"] != _pipeline_run():
        return None
    run_id: str | None = saved.state["history"]["run_id"]
    return run_id


def _pipeline_run() -> str | None:
    return os.environ.get("LESIONGEN_PIPELINE_RUN") or None


@contextmanager
def _workspace() -> Iterator[Path]:
    """Gives the folder of caches: that of LESIONGEN_CACHE, which is kept and reused, or a temporary one."""
    if kept := os.environ.get("LESIONGEN_CACHE"):
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory(prefix="lesiongen-cache-") as name:
        yield Path(name)


def _accelerator(config: FinetuneConfig) -> Accelerator:
    precision = precision_for(config.precision)
    # accelerate keeps the first precision of a process for ever; another run may want another.
    AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(mixed_precision="no" if precision == "fp32" else precision)


def _encoded(
    config: FinetuneConfig, dataset: Dataset, family: ModelFamily, device: torch.device, root: Path
) -> tuple[LatentCache, LatentCache | None]:
    orientations = Orientations(config.flip, config.rotations)
    training = cached(
        dataset, "train", family, image_size=config.image_size, orientations=orientations, device=device, root=root
    )
    available = dataset.reference().splits.get("validation", 0)
    count = min(config.validation_images, available)
    if not count:
        logger.warning("%s: no held-out loss, there are no validation images", dataset.uri)
        return training, None
    chosen = np.random.default_rng(derive_seed(config.seed, "held-out images")).permutation(available)[:count]
    held_out = cached(
        dataset, "validation", family, image_size=config.image_size, orientations=Orientations(False, False),
        device=device, root=root, rows=chosen.tolist(),
    )  # fmt: skip
    return training, held_out


def _published(
    config: FinetuneConfig, base: Base, family: ModelFamily, trainer: Trainer, dataset: Dataset, output: str
) -> ModelReference:
    with tempfile.TemporaryDirectory(prefix="lesiongen-model-") as name:
        folder = Path(name)
        save_model(folder, config, base, family, trainer.learner, trainer.history, dataset)
        return publish(folder, output)


def _report(run: StageRun, history: History, model: ModelReference) -> None:
    run.log_picture(loss_curve(history), "losses.png")
    run.set_tags({"model_uri": model.uri, "model_version": model.version})
    logger.info("Published %s (%s)", model.uri, model.version[:12])
