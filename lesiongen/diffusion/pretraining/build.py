"""Trains a base model in parts, each of which leaves a whole model, and publishes the last with what it has seen."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lesiongen.dataset import MANIFEST_NAME, Dataset
from lesiongen.diffusion.config import TINY_BASE, FinetuneConfig
from lesiongen.diffusion.finetuning import FinetuneResult, finetune
from lesiongen.diffusion.model.folder import local_model, publish, write_manifest
from lesiongen.diffusion.presets import preset
from lesiongen.diffusion.pretraining.card import card
from lesiongen.diffusion.pretraining.config import PretrainConfig
from lesiongen.diffusion.pretraining.overlap import shared_images, without_shared
from lesiongen.diffusion.pretraining.seen import write_seen
from lesiongen.errors import DataError, UsageError
from lesiongen.model_ancestry import model_at
from lesiongen.records.model import MODEL_NAME, Training
from lesiongen.records.origin import LeaveOutOrigin
from lesiongen.references import ModelReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import already_holds, claimed, open_storage
from lesiongen.temporary import temporary_folder

__all__ = ["pretrain"]

logger = logging.getLogger(__name__)
_NOT_SHIPPED = {MODEL_NAME, "losses.json", "losses.png"}
"""Files of a part that tell of that part alone."""


def pretrain(config: PretrainConfig, dataset_uri: str, output: str, *, leave_out: Sequence[str] = ()) -> ModelReference:
    """Trains a tiny base model on a captioned dataset and publishes it with a card and a list of what it has seen.

    Its parts lie beside the output (``-parts``): a call that was stopped is repeated to go on.

    Args:
        config: How it is built and trained; ``parts`` is 1 at least.
        dataset_uri: A captioned dataset; the ``train`` split is trained on.
        output: New folder or ``s3://`` prefix.
        leave_out: Datasets that models will be tested on: what the first one shares with them is not trained on.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; the state is saved.
        UsageError: ``parts`` is 0, or the output holds a model.
        DataError: An image has no caption, or nothing is left to train on.
        StorageError: Something cannot be read or written.
    """
    if not config.parts:
        raise UsageError("parts = 0: nothing would be trained", hint="Set parts to 1 or more.")
    place = f"{output.rstrip('/')}-parts"
    target = open_storage(output)
    target.require_writable()
    with claimed(target):
        if target.exists(MODEL_NAME):
            raise already_holds(target.uri, "a model")
        dataset = _to_train_on(Dataset.open(dataset_uri), leave_out, f"{place}/dataset")
        last = _trained(config, dataset.uri, place)
        with temporary_folder("base") as folder:
            _put_together(config, dataset, last, folder)
            return publish(folder, output)


def _to_train_on(dataset: Dataset, leave_out: Sequence[str], place: str) -> Dataset:
    """Returns the dataset without the images that others hold; the same call finds it again."""
    if not leave_out:
        return dataset
    others = [Dataset.open(uri) for uri in leave_out]
    if open_storage(place).exists(MANIFEST_NAME):
        return _found_again(Dataset.open(place), dataset, others)
    shared = shared_images(dataset, others)
    logger.info("Left out, as other datasets hold them, too: %d of %d images.", len(shared), len(dataset))
    published = without_shared(dataset, shared, others, place)
    if not published.manifest.splits.get("train"):
        raise DataError(f"{dataset.uri}: every training image is also in {', '.join(leave_out)}")
    return published


def _found_again(there: Dataset, dataset: Dataset, others: Sequence[Dataset]) -> Dataset:
    """Refuses what an earlier call with other datasets has left."""
    origin = there.manifest.origin
    versions = [other.manifest.version for other in others]
    if (
        isinstance(origin, LeaveOutOrigin)
        and origin.dataset_version == dataset.manifest.version
        and [other.version for other in origin.others] == versions
    ):
        return there
    raise already_holds(there.uri, "the images of another base model")


def _trained(config: PretrainConfig, dataset_uri: str, place: str) -> FinetuneResult:
    """Goes through the parts; one that has ended is found again."""

    def train(part: int, **base: object) -> FinetuneResult:
        logger.info("Part %d of %d", part, config.parts)
        checkpoints = f"{place}/checkpoints"
        return finetune(_part_config(config, part, base), dataset_uri, f"{place}/part{part}", checkpoints=checkpoints)

    last = train(1, base=TINY_BASE, tiny_base=config.tiny)
    for part in range(2, config.parts + 1):
        last = train(part, base=last.model.uri)
    return last


def _part_config(config: PretrainConfig, part: int, base: Mapping[str, object]) -> FinetuneConfig:
    return preset(
        "tiny",
        name=f"{config.name}-part{part}",
        seed=derive_seed(config.seed, "part", part),
        image_size=config.image_size,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler="cosine" if part == config.parts else "constant",
        warmup_steps=min(60, config.steps_per_part - 1),
        max_train_steps=config.steps_per_part,
        **base,
    )


def _put_together(config: PretrainConfig, dataset: Dataset, last: FinetuneResult, folder: Path) -> None:
    before = model_at(last.model.uri, last.model.version).manifest
    with local_model(last.model.uri) as trained:
        shutil.copytree(trained, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_NOT_SHIPPED))
    _forget_addresses(folder)
    if config.half_precision:
        for path in folder.rglob("*.safetensors"):
            _halve(path)
    seen = write_seen(folder, dataset)
    training = Training(
        config=config.model_dump(mode="json"),
        fingerprint=before.training.fingerprint,
        dataset=None,  # the model is handed on, and its list names the images: no address of ours goes with it
        steps=config.parts * config.steps_per_part,
        held_out_loss=before.training.held_out_loss,
        images=len(seen.images),
    )
    (folder / "README.md").write_text(card(config, dataset, seen, training), encoding="utf-8")
    write_manifest(
        folder,
        family=before.family,
        method="base",
        base=None,
        prediction_type=before.prediction,
        image_size=before.image_size,
        original_side=before.original_side,
        training=training,
    )


def _forget_addresses(folder: Path) -> None:
    """Takes out of the parts' configurations where each was loaded from."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _halve(path: Path) -> None:
    """Stores the floating-point tensors of a file in 16 bits."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    halved = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    if any(not torch.isfinite(value).all() for value in halved.values() if value.is_floating_point()):
        raise DataError(f"{path.name}: a weight is too large for 16 bits", hint="Set half_precision=false.")
    save_file(halved, path, metadata=metadata)
