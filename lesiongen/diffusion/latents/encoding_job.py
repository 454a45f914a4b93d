"""Encoding what a training reads, here or in a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from lesiongen.dataset import Dataset
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.latents.cache import LatentCache, cached
from lesiongen.diffusion.latents.cache_place import CachePlace, NotEncoded, cache_place
from lesiongen.diffusion.model.base import base_at
from lesiongen.diffusion.orientations import Orientations
from lesiongen.diffusion.stopping import StopRequest, stop_request
from lesiongen.launch import Job, Launcher, run_as_process, worker
from lesiongen.parallel import use_own_cores
from lesiongen.storage import open_storage

__all__ = ["EncodingJob", "device_here", "encode_in_a_process", "encoded", "end_earlier_encoding", "is_encoded"]


class EncodingJob(BaseModel):
    """All that a process needs to encode the images and captions of a training.

    Attributes:
        dataset: A captioned dataset.
        base: Address of the base model, whose encoders are used.
        base_revision: Commit of the hub repository, where it is one.
        prediction_type: As the training's configuration says.
        image_size: Side of the square images, in pixels.
        flip: Whether training images are encoded mirrored too.
        rotations: Whether they are encoded turned by quarters too.
        held_out: Rows of the validation split that are encoded too, as they are.
        folder: Folder of this host that what is encoded is read from; None: the process's own.
        shared: Address of the storage that keeps it for others; None: nowhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    base: str
    base_revision: str | None = None
    prediction_type: str | None
    image_size: int
    flip: bool
    rotations: bool
    held_out: tuple[int, ...]
    folder: str | None
    shared: str | None


def device_here() -> torch.device:
    """Returns where the encoders run; asking makes no CUDA context."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def encoded(
    job: EncodingJob, base: Path, place: CachePlace, device: torch.device | None
) -> tuple[LatentCache, LatentCache | None]:
    """Encodes the training images and the held-out ones, if any, or finds them encoded.

    The device is not touched where all is there already.

    Args:
        job: What to encode.
        base: Folder of the base model.
        place: Where what is encoded is kept.
        device: Where the encoders run; None: what is encoded is only looked for.

    Raises:
        NotEncoded: It was only looked for, and is not all there.
    """
    dataset, family = Dataset.open(job.dataset), family_of(base, job.prediction_type)

    def encode(split: str, orientations: Orientations, rows: list[int] | None = None) -> LatentCache:
        return cached(
            dataset, split, family, image_size=job.image_size, orientations=orientations, device=device, place=place,
            rows=rows,
        )  # fmt: skip

    training = encode("train", Orientations(job.flip, job.rotations))
    if not job.held_out:
        return training, None
    return training, encode("validation", Orientations(False, False), list(job.held_out))


def is_encoded(job: EncodingJob, base: Path, place: CachePlace) -> bool:
    """Tells whether all is encoded already; what another machine has encoded is fetched.

    Args:
        job: What to encode.
        base: Folder of the base model.
        place: Where what is encoded is kept.
    """
    try:
        encoded(job, base, place, None)
    except NotEncoded:
        return False
    return True


def encode_in_a_process(job: EncodingJob, launcher: Launcher, stop: StopRequest, checkpoints: str) -> None:
    """Encodes in a process that then ends, and gives back all that its CUDA context holds.

    On this host it computes in as many threads as this process would: on a CPU their number changes an encoding's last
    digits.

    Args:
        job: What to encode.
        launcher: Runs the process.
        stop: Whether it is asked to stop.
        checkpoints: Where those of the training go, by which it is known again.

    Raises:
        Interrupted: A stop was requested.
        LesionGenError: The process failed.
    """
    threads = torch.get_num_threads() if launcher.shares_files else None
    with stop.deferred():
        launched = Job(__name__, job.model_dump_json(), 1, threads=threads, identity=checkpoints)
        launcher.run(launched, lambda: stop.requested is not None)


def end_earlier_encoding(launcher: Launcher, checkpoints: str) -> None:
    """Ends what an earlier start of a training has left of its encoding.

    Raises:
        LesionGenError: It cannot be ended.
    """
    launcher.end_earlier(__name__, checkpoints)


def _encode(specification: str) -> None:
    job = EncodingJob.model_validate_json(specification)
    # The signals first: once its number is known a process may get one, and must not end by it.
    with stop_request(), worker(), base_at(job.base, job.base_revision) as base, _place(job) as place:
        use_own_cores()
        encoded(job, base, place, device_here())


@contextmanager
def _place(job: EncodingJob) -> Iterator[CachePlace]:
    shared = open_storage(job.shared) if job.shared else None
    if job.folder is not None:
        yield CachePlace(Path(job.folder), shared)
    else:
        with cache_place(shared) as place:
            yield place


if __name__ == "__main__":
    run_as_process(_encode)
