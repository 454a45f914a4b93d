"""A training in the processes of a launcher: they are given addresses that they can read."""

from pathlib import Path

from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.latents.cache_place import CachePlace
from lesiongen.diffusion.latents.encoding_job import EncodingJob
from lesiongen.diffusion.model.base import Base
from lesiongen.diffusion.training.training_job import TrainingJob
from lesiongen.errors import UsageError
from lesiongen.launch import Launcher
from lesiongen.storage import normal_address

__all__ = ["encoding_seen_by", "require_reachable", "training_seen_by"]

_ON_S3 = "Put it on S3 and give its s3:// address; lesiongen copy copies a dataset."


def require_reachable(launcher: Launcher, config: FinetuneConfig, dataset: str, checkpoints: str) -> None:
    """Refuses folders of this host where the processes run on others.

    Raises:
        UsageError: Dataset, base or checkpoints are a folder of this host.
    """
    if launcher.shares_files:
        return
    places = {"dataset": dataset, "checkpoints": checkpoints}
    if config.base_model.tiny is None:
        places["base"] = config.base_model.base
    for what, address in places.items():
        place = normal_address(address)
        on_a_hub = what == "base" and not Path(place).is_dir()
        if not (place.startswith("s3://") or on_a_hub):
            raise UsageError(f"{what} = {address} is a folder of this host; the training runs on others", hint=_ON_S3)


def encoding_seen_by(launcher: Launcher, job: EncodingJob, base: Base) -> EncodingJob:
    """Returns an encoding job whose addresses the processes of a launcher can read."""
    if launcher.shares_files:
        return job
    return EncodingJob(**job.model_dump() | {**_address_of(base), "folder": None})


def training_seen_by(launcher: Launcher, job: TrainingJob, base: Base, caches: CachePlace) -> TrainingJob:
    """Returns a training job whose addresses the processes of a launcher can read.

    Raises:
        StorageError: What is encoded cannot be put where they find it.
    """
    if launcher.shares_files:
        return job
    places = {"training": job.training, "held_out": job.held_out}
    shared = {name: caches.share(Path(place).name) for name, place in places.items() if place is not None}
    return TrainingJob(**job.model_dump() | {**_address_of(base), **shared})


def _address_of(base: Base) -> dict[str, str | None]:
    return {"base": base.address, "base_revision": None if base.built else base.reference.revision}
