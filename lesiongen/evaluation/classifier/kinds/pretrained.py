"""Image classifiers of the transformers library, fine-tuned: ``resnet18``, and any other by its address."""

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lesiongen.damage import first_line, told_as_damage
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.errors import UsageError
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.mixtures import TrainingImages, batch_obstacle
from lesiongen.evaluation.classifier.network import NetworkClassifier
from lesiongen.evaluation.classifier.separate_norms import has_batch_norms
from lesiongen.evaluation.classifier.training import Budget, Recipe, TrainedClassifier, optimise
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.model_files import check_hub_id, check_model_name, hub_snapshot, model_files
from lesiongen.records.scores import ClassifierSource
from lesiongen.seeds import derive_seed
from lesiongen.storage import path_digest

__all__ = [
    "HUB",
    "LOCAL",
    "PretrainedClassifier",
    "check_address",
    "files_of",
    "licence_of",
    "opened_pretrained",
    "opened_resnet18",
    "source_of",
]

RESNET18 = "hub:microsoft/resnet-18"
RESNET18_LICENCE = "Apache-2.0"
"""As its page on the hub states."""
REFERENCE_SIZE = 224
REFERENCE_NORMALISATION = (0.5, 0.5, 0.5)
"""Mean and deviation of each channel in the reference method, in place of those of ImageNet."""
LEARNING_RATE = 1e-3
LARGEST_SIZE = 1024
HUB = "hub:"
_COMMIT = re.compile("[0-9a-f]{40}")
_TRIED = ("0", "1")
"""Classes of the head with which a network is tried before the diagnoses are known."""
LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""What every call of the library's is given: nothing is fetched by it, and no code of a folder is run."""
_WANTED = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json"]


def check_address(name: str, known: Iterable[str], what: str = "classifier") -> None:
    """Refuses what cannot be a transformers model; nothing is fetched.

    Only a name that begins with ``hub:`` is looked up on the hub: a mistyped folder is an error.

    Args:
        name: A folder, an ``s3://`` prefix, or ``hub:OWNER/NAME``, with ``@COMMIT`` where a revision is meant.
        known: The models that have a name, for the hint.
        what: What the model is to be.

    Raises:
        UsageError: It is not one of the three.
    """
    if name.startswith(HUB):
        check_hub_id(hub_name(name)[0], f"{what} {name!r}: write hub:OWNER/NAME or hub:OWNER/NAME@COMMIT")
    elif name.startswith("s3://"):
        check_model_name(name)
    elif not Path(name).is_dir():
        near, named = get_close_matches(name, [*known], n=1), ", ".join(known)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"{what} {name!r} is {f'neither one of {named} nor' if named else 'not'} a folder",
            hint=f"{meant}A model on the hub is written hub:OWNER/NAME, one in S3 s3://BUCKET/PREFIX.",
        )


def hub_name(name: str) -> tuple[str, str | None]:
    """Returns repository and revision of an address ``hub:OWNER/NAME@COMMIT``."""
    repository, _, revision = name.removeprefix(HUB).partition("@")
    return repository, revision or None


@contextmanager
def files_of(name: str, wanted: Sequence[str] = _WANTED) -> Iterator[Path]:
    """Gives the files of a model at an address that `check_address` takes; what is fetched from S3 is removed.

    Args:
        name: The address.
        wanted: Patterns of the files that are fetched.

    Raises:
        UsageError: The folder does not exist.
        StorageError: It cannot be fetched.
    """
    if name.startswith(HUB):
        yield hub_snapshot(*hub_name(name), wanted)
    else:
        with model_files(name, None, wanted) as folder:
            yield folder


@contextmanager
def opened_resnet18(config: EvaluateConfig) -> Iterator[ClassifierKind]:
    """Gives the reference method's classifier: ResNet-18 with ImageNet weights, 224 pixels, Normalize(0.5, 0.5).

    Raises:
        StorageError: It cannot be fetched from the hub.
        UsageError: It cannot be loaded.
        DataError: Its files are damaged.
    """
    with files_of(RESNET18) as folder:
        normalisation = (REFERENCE_NORMALISATION, REFERENCE_NORMALISATION)
        source = _source(RESNET18, folder, "resnet18", REFERENCE_SIZE, RESNET18_LICENCE)
        yield PretrainedKind(folder, source, normalisation, config)


@contextmanager
def opened_pretrained(name: str, config: EvaluateConfig) -> Iterator[ClassifierKind]:
    """Gives an image classifier of the transformers library; its own image processor says size and normalisation.

    Args:
        name: Its address, as `check_address` takes it.
        config: The budget.

    Raises:
        UsageError: It cannot be loaded.
        DataError: Its files are damaged.
        StorageError: It cannot be fetched.
    """
    with files_of(name) as folder:
        size, normalisation = _preprocessing(folder, name)
        yield PretrainedKind(
            folder, _source(name, folder, "transformers", size, licence_of(folder)), normalisation, config
        )


def _source(name: str, folder: Path, kind: str, size: int, licence: str | None) -> ClassifierSource:
    return ClassifierSource(kind=kind, licence=licence, image_size=size, **source_of(name, folder))


def source_of(name: str, folder: Path) -> dict[str, Any]:
    """Returns the ``source``, ``revision`` and ``files`` (SHA-256) of a model, for its record."""
    on_hub = name.startswith(HUB)
    return {
        "source": hub_name(name)[0] if on_hub else name if name.startswith("s3://") else str(folder.resolve()),
        # The hub's cache names a snapshot by its commit.
        "revision": folder.name if on_hub and _COMMIT.fullmatch(folder.name) else None,
        "files": {path.name: path_digest(path) for path in sorted(folder.glob("*.safetensors"))},
    }


def licence_of(folder: Path) -> str | None:
    """Returns the licence that the model card of a folder states."""
    card = folder / "README.md"
    found = re.search(r"^license:[ \t]*(\S+)", card.read_text("utf-8", "replace"), re.M) if card.is_file() else None
    return found[1] if found else None


def _preprocessing(folder: Path, name: str) -> tuple[int, tuple[Sequence[float], Sequence[float]]]:
    """Returns the side in pixels, and mean and deviation of the channels, that a model's image processor states."""
    from transformers import AutoImageProcessor

    try:
        with told_as_damage(folder):
            processor = AutoImageProcessor.from_pretrained(folder, **LOCAL)
            size = _side(processor)
            if not getattr(processor, "do_normalize", True):
                return size, ((0.0,) * 3, (1.0,) * 3)
            return size, (tuple(map(float, processor.image_mean)), tuple(map(float, processor.image_std)))
    except (OSError, ImportError) as error:
        raise UsageError(
            f"classifier {name!r}: its image processor cannot be loaded: {first_line(error)}",
            hint="The folder of the model must hold preprocessor_config.json.",
        ) from error


def _side(processor: Any) -> int:
    """Returns the side in pixels of the images that an image processor makes."""
    cropped = getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None)
    sizes = dict(cropped or processor.size)
    side = next((sizes[key] for key in ("height", "shortest_edge", "longest_edge") if sizes.get(key)), 0)
    if not 0 < side <= LARGEST_SIZE:
        raise ValueError(f"its image processor states a side of {side} pixels; it must be 1 to {LARGEST_SIZE}")
    return int(side)


class PretrainedKind(ClassifierKind):
    """A transformers image classifier whose head is replaced by one for the diagnoses.

    It is loaded once here and not kept, so that a wrong one is found before another classifier has been trained.

    Args:
        folder: Its files.
        source: What they are.
        normalisation: Mean and deviation of the channels, of values in [0, 1].
        config: The budget.

    Raises:
        UsageError: It cannot be loaded as an image classifier with a linear head.
        DataError: Its configuration or its weights are damaged, or do not fit together.
    """

    def __init__(
        self,
        folder: Path,
        source: ClassifierSource,
        normalisation: tuple[Sequence[float], Sequence[float]],
        config: EvaluateConfig,
    ) -> None:
        self.folder, self.source, self.normalisation = folder, source, normalisation
        self.image_size = int(source.image_size or 0)
        self.budget = Budget(config.steps, config.batch_size, LEARNING_RATE, 0.0, config.checks)
        self.has_batch_norms = has_batch_norms(_load(folder, source.source, _TRIED))

    def obstacle(self, config: EvaluateConfig) -> str:
        """A share of a batch may round to no image; a network may have no batch normalisation to separate."""
        if config.protocol == "separate-norm" and not self.has_batch_norms:
            return "the protocol separate-norm has no effect on it: it has no batch normalisation"
        return batch_obstacle(config)

    def trainer(self, real: RealImages) -> Trainer:
        """Loads the network; its hyperparameters are the reference method's."""
        network = _load(self.folder, self.source.source, real.classes)
        model = PretrainedClassifier(network, real.classes, self.image_size, self.normalisation)
        budget, (mean, deviation) = self.budget, self.normalisation
        settings = {
            "optimizer": "Adam",
            "learning_rate": budget.learning_rate,
            "schedule": "constant",
            "image_mean": list(mean),
            "image_std": list(deviation),
            "steps": budget.steps,
            "batch_size": budget.batch_size,
            "checks": budget.checks,
        }
        return _PretrainedTrainer(model, self.source.changed(hyperparameters=settings), real, budget)


class _PretrainedTrainer(Trainer):
    def __init__(
        self, model: "PretrainedClassifier", source: ClassifierSource, real: RealImages, budget: Budget
    ) -> None:
        self.model, self.source, self.real, self.budget, self.steps = model, source, real, budget, budget.steps

    def train(self, mixture: TrainingImages, seed: int, on_step: Callable[[int], None]) -> TrainedClassifier:
        """Trains a copy of the network, with a new head, by Adam at a constant learning rate."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        drawing = [torch.cuda.current_device()] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=drawing):  # for the new head and for dropout
            torch.manual_seed(derive_seed(seed, "weights"))
            model = copy.deepcopy(self.model)
            model.head.reset_parameters()
            model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            recipe = Recipe(torch.optim.Adam(model.parameters(), lr=self.budget.learning_rate))
            return optimise(model, recipe, mixture, self.real.validation, self.budget, seed, on_step)


class PretrainedClassifier(NetworkClassifier):
    """A transformers image classifier that takes values in [0, 1].

    Args:
        network: The model, with a linear head for the classes.
        classes: The diagnoses, in the order of the outputs.
        image_size: Side in pixels of the square images.
        normalisation: Mean and deviation of the channels.
    """

    prediction_batch: ClassVar[int] = 32
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        network: Any,
        classes: Sequence[str],
        image_size: int,
        normalisation: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        place, head = _head(network, len(classes))
        super().__init__(classes, image_size, head.in_features)
        self.network: Any = network
        self.head_place = place
        for name, values in zip(("mean", "deviation"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    @property
    def head(self) -> nn.Linear:
        """The linear layer that gives the logits."""
        head: nn.Linear = self.network.get_submodule(self.head_place)
        return head

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, 3, size, size] in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.deviation).logits
        return logits

    def penultimate(self, images: Tensor) -> Tensor:
        """What the head sees [n, width] of images [n, 3, size, size] in [0, 1]."""
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self(images)
        finally:
            hook.remove()
        return seen[0].flatten(1)

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the folder as transformers does; ``lesiongen`` of config.json says what it was trained on, and how."""
        self.network.save_pretrained(folder)
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        mean, deviation = ([float(value) for value in buffer.flatten()] for buffer in (self.mean, self.deviation))
        of_images = {"image_size": self.image_size, "image_mean": mean, "image_std": deviation}
        config["lesiongen"] = {"classes": list(self.classes), **of_images, **about}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _load(folder: Path, name: str, classes: Sequence[str]) -> Any:
    """Loads a model with a head for the classes; every other weight must come from its files."""
    from transformers import AutoConfig, AutoModelForImageClassification

    kind = AutoModelForImageClassification
    names = {"id2label": dict(enumerate(classes)), "label2id": {label: place for place, label in enumerate(classes)}}
    with told_as_damage(folder):
        try:
            check_declared_size(folder, lambda: kind.from_config(AutoConfig.from_pretrained(folder, **LOCAL)))
            network, info = kind.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **names,
                **LOCAL,
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UsageError(
                f"classifier {name!r} cannot be loaded: {first_line(error)}",
                hint="It must be an image classifier of the transformers library with safetensors weights.",
            ) from error
    place, _ = _head(network, len(classes))
    own = {f"{place}.weight", f"{place}.bias"}
    changed = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    check_all_loaded(folder, {"missing_keys": changed - own})
    return network


def _head(network: Any, classes: int) -> tuple[str, nn.Linear]:
    """Returns the last linear layer with an output for each class, and its name."""
    found = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    if not found:
        raise UsageError(f"{type(network).__name__} has no linear head that could be replaced")
    return found[-1]
