"""Training itself: what it reads is ready in folders, so that one process or several can run it alike."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from pydantic import BaseModel, ConfigDict

from lesiongen.diffusion.checkpoints.store import Checkpoint, CheckpointStore
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.latents.cache import LatentCache
from lesiongen.diffusion.latents.cache_place import entry_at
from lesiongen.diffusion.model.base import base_at
from lesiongen.diffusion.precision import training_precision
from lesiongen.diffusion.stopping import StopRequest, stop_request
from lesiongen.diffusion.training.trainer import Trainer
from lesiongen.diffusion.training.validation_images import ValidationImages
from lesiongen.errors import LesionGenError, StorageError
from lesiongen.launch import Job, Launcher, run_as_process, worker
from lesiongen.parallel import use_own_cores
from lesiongen.storage import open_storage
from lesiongen.tracking import StageRun, joined_run

__all__ = [
    "Material",
    "TrainingJob",
    "checkpoints_of",
    "end_earlier_training",
    "material_of",
    "train_in_processes",
    "trainer_of",
]

_UPLOAD_SECONDS = 3600.0
"""How long the other processes wait for the first one to write a checkpoint, besides its patience."""


class TrainingJob(BaseModel):
    """All that a process needs to train, on this host or another: addresses, no objects.

    Attributes:
        config: The run's configuration.
        base: Address of the base model.
        base_revision: Commit of the hub repository, where it is one.
        training: Address of the encoded training images.
        held_out: Address of the encoded held-out images, where there are any.
        prompts: (diagnosis, caption) of each image that is drawn during training.
        checkpoints: Where checkpoints go; the newest one is what training resumes from.
        run_id: MLflow run that the first process logs to.
        pipeline_run: Pipeline run that it belongs to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: FinetuneConfig
    base: str
    base_revision: str | None = None
    training: str
    held_out: str | None
    prompts: tuple[tuple[str, str], ...] = ()
    checkpoints: str
    run_id: str | None = None
    pipeline_run: str | None = None


@dataclass(frozen=True)
class Material:
    """What a training reads, as folders of the host that it runs on."""

    base: Path
    training: Path
    held_out: Path | None


@contextmanager
def material_of(job: TrainingJob) -> Iterator[Material]:
    """Gives what a job reads; what lies elsewhere is fetched.

    Raises:
        StorageError: It cannot be fetched.
    """
    with ExitStack() as held:
        yield Material(
            base=held.enter_context(base_at(job.base, job.base_revision)),
            training=held.enter_context(entry_at(job.training)),
            held_out=held.enter_context(entry_at(job.held_out)) if job.held_out else None,
        )


def trainer_of(job: TrainingJob, material: Material, run: StageRun, saved: Checkpoint | None) -> Trainer:
    """Builds the trainer of a job, in the state of a checkpoint where there is one."""
    config = job.config
    family = family_of(material.base, config.optimisation.prediction_type)
    trainer = Trainer(
        config,
        family,
        LatentCache(material.training),
        LatentCache(material.held_out) if material.held_out else None,
        _accelerator(config),
        checkpoints_of(job),
        run,
        ValidationImages(config, family, job.prompts, run),
    )
    if saved is not None:
        trainer.resume(saved)
    trainer.history.run_id, trainer.history.pipeline_run = job.run_id, job.pipeline_run
    return trainer


def checkpoints_of(job: TrainingJob) -> CheckpointStore:
    """Returns the checkpoints of a job."""
    runtime = job.config.runtime
    return CheckpointStore(open_storage(job.checkpoints), runtime.keep_checkpoints, runtime.storage_patience)


def train_in_processes(job: TrainingJob, launcher: Launcher, stop: StopRequest) -> None:
    """Trains to the end in several processes; the last checkpoint holds what they have learnt.

    Raises:
        Interrupted: A stop was requested; the state is saved.
        LesionGenError: Training diverged, or a process failed.
    """
    # The MLflow run may be another one at the next start; the checkpoints are the same.
    launched = Job(__name__, job.model_dump_json(), job.config.runtime.processes, identity=job.checkpoints)
    launcher.run(launched, lambda: stop.requested is not None)


def end_earlier_training(launcher: Launcher, checkpoints: str) -> None:
    """Ends what an earlier start of a training has left running; it would write checkpoints after they were deleted.

    Raises:
        LesionGenError: It cannot be ended.
    """
    launcher.end_earlier(__name__, checkpoints)


def _accelerator(config: FinetuneConfig) -> Accelerator:
    precision = training_precision(config.optimisation.mixed_precision)
    # accelerate keeps the first precision of a process for ever; another run may want another.
    AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(
        # On a CPU processes only join where accelerate is set to use the CPU.
        cpu=not torch.cuda.is_available(),
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[
            # Or the gradients are packed again after the first step of every start, and three processes or more add
            # them up in another order than before: a resumed training would differ by rounding.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=timedelta(seconds=config.runtime.storage_patience + _UPLOAD_SECONDS)),
        ],
    )


def _train(specification: str) -> None:
    job = TrainingJob.model_validate_json(specification)
    # The signals first: once its number is known a process may get one, and must not end by it.
    with stop_request() as stop, stop.deferred(), worker() as rank, material_of(job) as material:
        use_own_cores()
        run = joined_run(job.run_id if rank == 0 else None)
        trainer = trainer_of(job, material, run, checkpoints_of(job).newest())
        joined, processes = trainer.accelerator.num_processes, job.config.runtime.processes
        if joined != processes:
            raise LesionGenError(f"{joined} of {processes} processes found each other")
        _check_steps(trainer)
        trainer.train(stop)
        trainer.accelerator.end_training()  # nothing is on its way any more: the threads of the group are joined


def _check_steps(trainer: Trainer) -> None:
    """Looks whether all processes begin at the same step: each has looked for the newest checkpoint itself."""
    accelerator = trainer.accelerator
    steps = accelerator.gather(torch.tensor([trainer.history.step], device=accelerator.device)).tolist()
    if len(set(steps)) > 1:
        raise StorageError(
            f"The processes found checkpoints of different steps in {trainer.checkpoints.store.storage.uri}: {steps}",
            hint="A storage may show its files late, or a file was damaged on its way. Start the same command again.",
        )


if __name__ == "__main__":
    run_as_process(_train)
