"""Documents of JSON and YAML: concepts, manifests of datasets and models, configurations, plans, checks and gates."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from lesiongen.captions import CaptionConfig
from lesiongen.concepts import compose, read_report
from lesiongen.config import parse_config, parse_yaml
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion import FinetuneConfig, SampleConfig
from lesiongen.diffusion.sampling.config import parse_plan
from lesiongen.errors import DataError
from lesiongen.evaluation import EvaluateConfig
from lesiongen.imaging import encode_png
from lesiongen.ingestion import IngestConfig
from lesiongen.merging import MergeConfig
from lesiongen.registry import Gates
from lesiongen.validation import ValidateConfig
from tests.fuzz.mutation import TEXTS, changed, damaged
from tests.ingestion.miniatures import picture

REPORT: dict[str, Any] = {
    "patient": {"value": ["65 years", "male"], "source": "metadata", "evidence": {}},
    "colour": {"value": ["brown"], "source": "measured", "evidence": {"brown": 0.4}, "confidence": 0.5},
    "patterns": {"value": ["network"], "source": "expert", "evidence": {"network": 1, "streaks": 0}},
    "description": {"text": "A brown macule. It grew; slowly, over years.", "source": "expert"},
    "schema_version": 2,
}
FEATURES = {"pigment_network": 1, "streaks": 0, "milia_like_cyst": None}
YAML = (
    "format: image_folder\nseed: 3\non_error: reject\noptions: {table: a.csv}\ncolumns: {diagnosis: dx}\n",
    "limit: 10\nmax_rejected: 0.5\nsplit: [0.8, 0.1, 0.1]\n",
    "a: &a [1, 2]\nb: [*a, *a]\n",
)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


CONFIGS = (
    IngestConfig, ValidateConfig, CaptionConfig, FinetuneConfig, SampleConfig, EvaluateConfig, MergeConfig, Gates,
)  # fmt: skip
PLANS: tuple[Any, ...] = (
    "balance",
    {"mel": 3, "nv": 2},
    [
        {"diagnosis": "mel", "count": 2, "where": {"skin_tone": "V"}},
        {"diagnosis": "nv", "count": 1, "prompt": "a nevus"},
    ],
)


class Words:
    """A tokenizer of a token for each word."""

    def __call__(self, text: str, /, **options: object) -> dict[str, list[str]]:
        return {"input_ids": ["", *text.split(), ""]}


def _text(rng: random.Random, document: Any) -> str:
    text = json.dumps(changed(rng, document, share=rng.choice((0.0, 0.01, 0.03, 0.15))))
    if rng.random() < 0.2:
        text = damaged(rng, text.encode()).decode("utf-8", "replace")
    return rng.choice(TEXTS) if rng.random() < 0.05 else text


def concepts(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a cell of concepts; it is read and written as a caption."""
    text = _text(rng, rng.choice((REPORT, REPORT, FEATURES)))

    def act() -> None:
        report = read_report(text)
        assert read_report(report.to_text()) == report
        compose(report, rng.choice(("mel", "nv", "x", None)), [Words()], 60, np.random.default_rng(0))

    return act


@cache
def _dataset(folder: Path) -> Path:
    with DatasetWriter(str(folder / "whole"), name="whole") as writer:
        for number in range(6):
            image, split = encode_png(picture(number)), ("train", "validation", "test")[number % 3]
            writer.add(Sample(image=image, image_id=str(number), diagnosis="nv", split=split))
    return folder / "whole"


def manifests(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a dataset of which the manifest is changed; all of it is read."""
    place = folder / "data"
    shutil.copytree(_dataset(folder.parent.parent / "kept"), place)
    (place / "_dataset.json").write_bytes(
        _text(rng, json.loads((place / "_dataset.json").read_text())).encode("utf-8", "replace")
    )

    def act() -> None:
        data = Dataset.open(str(place))
        assert len(list(data.samples())) >= 0
        data.metadata()
        data.reference()

    return act


def configurations(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes YAML: a configuration of a stage, its own fields changed, or the gates."""
    kind = rng.choice(CONFIGS)
    text = BOMB if rng.random() < 0.02 else rng.choice(YAML)
    if rng.random() < 0.7:
        text = json.dumps(changed(rng, _defaults(kind)))
    text = damaged(rng, text.encode()).decode("utf-8", "replace") if rng.random() < 0.5 else text

    def act() -> None:
        values = parse_yaml(text, "config.yaml")
        if isinstance(values, dict):
            parse_config(kind, values)

    return act


def _defaults(kind: type[BaseModel]) -> Any:
    given = {"format": "image_folder"} if kind is IngestConfig else {}
    return parse_config(kind, given).model_dump(mode="json")


def plans(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a sampling plan, as a file would hold it."""
    text = json.dumps(changed(rng, rng.choice(PLANS), share=rng.choice((0.05, 0.2, 0.5))))
    text = damaged(rng, text.encode()).decode("utf-8", "replace") if rng.random() < 0.2 else text

    return lambda: parse_plan(parse_yaml(text, "plan.yaml"), "plan.yaml")


SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "beta_end": 0.02,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}  # fmt: skip


def models(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a model folder of changed documents and a damaged head of weights; it is opened as far as its weights."""
    from lesiongen.diffusion.families.supported import family_of
    from lesiongen.diffusion.model.folder import local_model, read_manifest

    place = folder / "model"
    head = json.dumps(changed(rng, {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})).encode()
    weights = len(head).to_bytes(8, "little") + head + bytes(4)
    files = {
        "model_index.json": _text(rng, INDEX).encode("utf-8", "replace"),
        "scheduler/scheduler_config.json": _text(rng, SCHEDULER).encode("utf-8", "replace"),
        "unet/diffusion_pytorch_model.safetensors": damaged(rng, weights) if rng.random() < 0.5 else weights,
        **{f"{part}/config.json": b"{}" for part in ("unet", "vae", "text_encoder")},
        "tokenizer/tokenizer_config.json": b"{}",
    }
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    digests = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    manifest = {
        "schema_version": 1, "kind": "model", "family": "StableDiffusionPipeline", "method": "base", "base": None,
        "prediction": "epsilon", "image_size": 64, "training": {}, "libraries": {}, "files": digests,
    }  # fmt: skip
    if rng.random() < 0.6:
        (place / "_model.json").write_bytes(_text(rng, manifest).encode("utf-8", "replace"))

    def act() -> None:
        read_manifest(place)
        try:
            with local_model(str(place)):
                pass
        except DataError:
            pass
        family_of(place)

    return act
