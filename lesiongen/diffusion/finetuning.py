"""Fine-tuning, from a captioned dataset to a published generator."""

import hashlib
import json
import logging
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.diffusion.checkpoints.store import Checkpoint, CheckpointStore
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.families.supported import family_named, family_of
from lesiongen.diffusion.latents.cache import check_captions
from lesiongen.diffusion.latents.cache_place import CachePlace, cache_place
from lesiongen.diffusion.latents.encoding_job import (
    EncodingJob,
    device_here,
    encode_in_a_process,
    encoded,
    end_earlier_encoding,
    is_encoded,
)
from lesiongen.diffusion.model.base import Base, base_version, prepared_base
from lesiongen.diffusion.model.folder import publish, published
from lesiongen.diffusion.stopping import StopRequest, stop_request
from lesiongen.diffusion.training.launching import encoding_seen_by, require_reachable, training_seen_by
from lesiongen.diffusion.training.save import loss_curve, save_model
from lesiongen.diffusion.training.trainer import History, Trainer
from lesiongen.diffusion.training.training_job import (
    Material,
    TrainingJob,
    end_earlier_training,
    material_of,
    train_in_processes,
    trainer_of,
)
from lesiongen.errors import StorageError
from lesiongen.launch import Launcher, LocalLauncher
from lesiongen.parallel import use_own_cores
from lesiongen.records.model import ModelManifest
from lesiongen.references import ModelReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import Storage, already_holds, claimed, open_storage
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["FinetuneResult", "finetune"]

logger = logging.getLogger(__name__)
_NOT_OF_THE_WEIGHTS = {"preset", "name", "validation", "runtime"}
"""Fields that a restart may change."""
TRAINING_FORMAT = 2
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
    """Steps left out because their loss or gradient was not finite."""
    resumed_from: int | None
    """Step of the checkpoint that this call resumed from."""
    checkpoints: str


def finetune(
    config: FinetuneConfig,
    dataset_uri: str,
    output: str,
    *,
    checkpoints: str | None = None,
    resume: bool = True,
    launcher: Launcher | None = None,
) -> FinetuneResult:
    """Trains a generator on the ``train`` split of a captioned dataset and publishes it.

    The ``validation`` split only measures the held-out loss; ``test`` is never read. A run is known by its
    configuration, dataset, base and version of this code: started again with the same, it resumes from its newest
    checkpoint, and on a CPU ends with the very weights of a run that was never stopped. Where it has ended already,
    what it published is found again.

    Args:
        config: What and how to train.
        dataset_uri: A captioned dataset.
        output: A new folder or ``s3://`` prefix for the model.
        checkpoints: Where checkpoints and a built base are kept; None: beside the output.
        resume: Whether to resume from a checkpoint, where there is one.
        launcher: Runs the training in other processes, perhaps on other hosts; None: it runs in this one, or in
            ``config.runtime.processes`` of this host.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; the state is saved.
        DataError: An image has no caption, or the dataset no training images.
        UsageError: The base is not a model, its family lacks what the configuration asks for, or the output has another
            training's model.
        StorageError: Dataset, base or checkpoints cannot be reached, or the output not be written; no checkpoint is
            lost.
        Diverged: Training came to nothing.
    """
    target, root = open_storage(output), open_storage(checkpoints or f"{output.rstrip('/')}-checkpoints")
    if not resume and published(output) is not None:
        raise already_holds(output, "a model")
    for storage in (root, target):
        storage.require_writable()
    if launcher is None and config.runtime.processes > 1:
        launcher = LocalLauncher()
    if launcher is not None:
        require_reachable(launcher, config, dataset_uri, root.uri)
    dataset = Dataset.open(dataset_uri)
    fingerprint = _fingerprint(config, dataset)
    place = root.child(fingerprint)
    with claimed(target), claimed(place):
        shared = checkpoints is not None or (launcher is not None and not launcher.shares_files)
        return _finetune(config, dataset, output, root, fingerprint, launcher, shared=shared, resume=resume)


def _finetune(
    config: FinetuneConfig,
    dataset: Dataset,
    output: str,
    root: Storage,
    fingerprint: str,
    launcher: Launcher | None,
    *,
    shared: bool,
    resume: bool,
) -> FinetuneResult:
    place, before = root.child(fingerprint), published(output)
    store = CheckpointStore(place, config.runtime.keep_checkpoints, config.runtime.storage_patience)
    saved = store.newest() if resume else None
    if before is not None:
        if saved is None or not _ended_with(before[0], fingerprint, saved, config.optimisation.max_train_steps):
            raise already_holds(output, "a model")
        return _found_again(config, before, saved, place.uri)
    check_captions(dataset, "train")
    use_own_cores()
    resumed_from = saved.step if saved is not None else None
    with (
        stop_request() as stop,
        stage_run("finetune", config.model_dump(mode="json"), _run_id(saved)) as run,
        prepared_base(config, dataset.uri, place.child("base")) as base,
        cache_place(root.child("caches") if shared else None) as caches,
    ):
        trained = saved is not None and saved.step == config.optimisation.max_train_steps
        if launcher is not None and (trained or not resume):
            end_earlier_training(launcher, place.uri)
        if not resume:
            store.clear()
        _check_family(config, base)
        job = _job(config, dataset, base, caches, place.uri, run, launcher, stop)
        with stop.deferred(), material_of(job) as material:
            if launcher is not None and not trained:
                del saved
                train_in_processes(training_seen_by(launcher, job, base, caches), launcher, stop)
                trainer = _finished(job, material, run, store)
            else:
                trainer = trainer_of(job, material, run, saved)
                del saved  # as large as the model and its optimizer
                if not trained:
                    trainer.train(stop)
        model = _published(config, base, trainer, dataset, fingerprint, output)
        logger.info("Published %s (%s)", model.uri, model.version[:12])
        _report(run, config, trainer.history, model, type(trainer.family))
    return _result(model, trainer.history, resumed_from, place.uri)


def _check_family(config: FinetuneConfig, base: Base) -> None:
    """Refuses what the base's family does not have, before anything is encoded."""
    family = family_of(base.folder, config.optimisation.prediction_type)
    family.check_image_size(config.data.image_size)
    family.noise_process.loss_weights(config.optimisation.snr_gamma)


def _found_again(
    config: FinetuneConfig, before: tuple[ModelManifest, ModelReference], saved: Checkpoint, checkpoints: str
) -> FinetuneResult:
    """Reports a training that has ended already, and was killed perhaps before it could report it."""
    (manifest, model), history = before, History.of(saved)
    with stage_run("finetune", config.model_dump(mode="json"), _run_id(saved)) as run:
        _report(run, config, history, model, family_named(manifest.family))
    logger.info("This training has ended already: %s (%s)", model.uri, model.version[:12])
    return _result(model, history, saved.step, checkpoints)


def _result(model: ModelReference, history: History, resumed_from: int | None, checkpoints: str) -> FinetuneResult:
    return FinetuneResult(
        model=model,
        losses=tuple(history.losses),
        held_out_loss=history.held_out[-1][1] if history.held_out else None,
        steps=history.step,
        skipped_steps=history.skipped,
        resumed_from=resumed_from,
        checkpoints=checkpoints,
    )


def _finished(job: TrainingJob, material: Material, run: StageRun, store: CheckpointStore) -> Trainer:
    """Returns what several processes have learnt, from the checkpoint of their last step."""
    last = store.newest()
    steps = job.config.optimisation.max_train_steps
    if last is None or last.step != steps:
        found = "no checkpoint" if last is None else f"the one of step {last.step}"
        raise StorageError(
            f"The training ended, but its checkpoint of step {steps} in {job.checkpoints} cannot be read: "
            f"there is {found}",
            hint="Run the same command again: it resumes from there.",
        )
    return trainer_of(job, material, run, last)


def _ended_with(model: ModelManifest, fingerprint: str, saved: Checkpoint, steps: int) -> bool:
    """Tells whether a model is what this very training ended with."""
    return model.training.fingerprint == fingerprint and saved.step == steps


def _fingerprint(config: FinetuneConfig, dataset: Dataset) -> str:
    parts = {
        # The base's version says which base it is, however its place is written.
        "config": config.model_dump(mode="json", exclude=_NOT_OF_THE_WEIGHTS | {"base_model"}),
        "tiny": config.base_model.tiny is not None,
        "dataset": dataset.reference().version,
        "base": base_version(config),
        "code": [__version__, TRAINING_FORMAT],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _run_id(saved: Checkpoint | None) -> str | None:
    """Names the MLflow run to continue; the run of another pipeline run is that one's record, and stays as it is."""
    if saved is None or saved.state["history"]["pipeline_run"] != _pipeline_run():
        return None
    run_id: str | None = saved.state["history"]["run_id"]
    return run_id


def _pipeline_run() -> str | None:
    return os.environ.get("LESIONGEN_PIPELINE_RUN") or None


def _job(
    config: FinetuneConfig,
    dataset: Dataset,
    base: Base,
    caches: CachePlace,
    checkpoints: str,
    run: StageRun,
    launcher: Launcher | None,
    stop: StopRequest,
) -> TrainingJob:
    """Encodes the images and captions, and records where everything is stored."""
    available = dataset.reference().splits.get("validation", 0)
    chosen = np.random.default_rng(derive_seed(config.seed, "held-out images")).permutation(available)
    if count := min(config.validation.held_out_images, available):
        chosen = chosen[:count]
    elif not available:
        logger.warning("%s has no validation images: the held-out loss is not measured", dataset.uri)
    encoding = EncodingJob(
        dataset=dataset.uri,
        base=str(base.folder),
        prediction_type=config.optimisation.prediction_type,
        image_size=config.data.image_size,
        flip=config.data.flip,
        rotations=config.data.rotations,
        held_out=chosen.tolist() if count else (),
        folder=str(caches.folder),
        shared=caches.shared.uri if caches.shared is not None else None,
    )
    device = device_here()
    if launcher is not None and (device.type == "cuda" or not launcher.shares_files):
        if is_encoded(encoding, base.folder, caches):  # by an earlier start; no TrainJob queues for nothing
            end_earlier_encoding(launcher, checkpoints)
        else:
            # Or this process, which only waits, would hold a CUDA context on the device that another one trains on.
            encode_in_a_process(encoding_seen_by(launcher, encoding, base), launcher, stop, checkpoints)
    training, held_out = encoded(encoding, base.folder, caches, device)
    return TrainingJob(
        config=config,
        base=str(base.folder),
        training=str(training.folder),
        held_out=str(held_out.folder) if held_out else None,
        prompts=_prompts(dataset, chosen, config.validation.num_validation_images),
        checkpoints=checkpoints,
        run_id=run.run_id,
        pipeline_run=_pipeline_run(),
    )


def _prompts(dataset: Dataset, rows: NDArray[np.int64], count: int) -> tuple[tuple[str, str], ...]:
    """Chooses captions of held-out images: one of each diagnosis, then a second of each, and so on."""
    table = dataset.metadata(columns=["diagnosis", "caption"], split="validation").iloc[rows].dropna()
    turns = table.groupby("diagnosis").cumcount()
    chosen = table.assign(turn=turns).sort_values(["turn", "diagnosis"], kind="stable").head(count)
    return tuple(zip(chosen["diagnosis"], chosen["caption"], strict=True))


def _published(
    config: FinetuneConfig, base: Base, trainer: Trainer, dataset: Dataset, fingerprint: str, output: str
) -> ModelReference:
    with temporary_folder("model") as folder:
        save_model(
            folder, config, base, trainer.family, trainer.learner, trainer.history, dataset, fingerprint,
            original_side=trainer.training.side,
        )  # fmt: skip
        return publish(folder, output)


def _report(
    run: StageRun, config: FinetuneConfig, history: History, model: ModelReference, family: type[ModelFamily]
) -> None:
    density = family.noise_process_type.timestep_density
    run.log_image(loss_curve(history, config, density), "losses.png")
    run.set_tags({"model_uri": model.uri, "model_version": model.version})
