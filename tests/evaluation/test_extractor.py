import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.extractor import extracted_features, opened_extractor
from lesiongen.evaluation.material import Material, load_material
from lesiongen.evaluation.measures.fidelity import FeatureFidelity, compare_features
from lesiongen.imaging import decode
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.seeds import derive_seed

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
CROPPING = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


def dinov2() -> tuple[Any, Any]:
    return Dinov2Model(Dinov2Config(**SMALL)), CLIPImageProcessor(**CROPPING)


def vit_classifier() -> tuple[Any, Any]:
    """It holds no pooling: transformers would draw one at random."""
    return ViTForImageClassification(ViTConfig(intermediate_size=32, **SMALL)), ViTImageProcessor(
        size={"height": 32, "width": 32}
    )


def clip() -> tuple[Any, Any]:
    text = {
        "vocab_size": 99,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return CLIPModel(
        CLIPConfig(text_config=text, vision_config={"intermediate_size": 32, **SMALL})
    ), CLIPImageProcessor(**CROPPING)


def resnet() -> tuple[Any, Any]:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    return ResNetModel(config), CLIPImageProcessor(**CROPPING)


def saved(make: Callable[[], tuple[Any, Any]], folder: Path) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model, processor = make()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return model.eval(), processor


def picture(width: int = 61, height: int = 47) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("make", "said", "features", "size"),
    [
        (dinov2, lambda model, pixels: model(pixels).last_hidden_state[:, 0], "pooler_output", {"shortest_edge": 40}),
        (
            vit_classifier,
            lambda model, pixels: model.vit(pixels).last_hidden_state[:, 0],
            "last_hidden_state[:, 0]",
            {"height": 32, "width": 32},
        ),
        (
            clip,
            lambda model, pixels: model.vision_model(pixel_values=pixels).pooler_output,
            "pooler_output",
            {"shortest_edge": 40},
        ),
        (
            resnet,
            lambda model, pixels: model(pixels).last_hidden_state.mean((2, 3)),
            "pooler_output",
            {"shortest_edge": 40},
        ),
    ],
)
def test_features_are_what_the_library_gives_for_the_image(
    make: Callable[[], tuple[Any, Any]], said: Any, features: str, size: dict[str, int], tmp_path: Path
) -> None:
    model, processor = saved(make, tmp_path)
    with torch.no_grad():
        expected = said(model, processor(images=[picture()], return_tensors="pt")["pixel_values"]).numpy()
    with opened_extractor(str(tmp_path)) as extractor:
        found = extractor([picture(), picture(200, 90), picture()])
        source = extractor.source
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert found[2] == pytest.approx(found[0], abs=1e-6)
    assert not np.allclose(found[1], found[0])
    assert (source.features, source.width, source.size, source.licence) == (features, found.shape[1], size, "mit")
    assert source.resample in ("bilinear", "bicubic")
    assert list(source.files) == ["model.safetensors"]
    assert source.source == str(tmp_path.resolve())


def test_what_is_no_image_model_with_safetensors_is_refused(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="extractor 'no/such/folder' is not a folder"):
        evaluate(small_config.changed(fidelity_extractor="no/such/folder"), real, synthetic, str(tmp_path / "out"))
    saved(dinov2, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    text = tmp_path / "text"
    BertModel(BertConfig(vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        text
    )
    for folder in (tmp_path / "pickled", text):
        with pytest.raises(UsageError, match="cannot be loaded"), opened_extractor(str(folder)):
            pass
    saved(dinov2, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with (
        pytest.raises(DataError, match="tensors that the weights do not have"),
        opened_extractor(str(tmp_path / "other")),
    ):
        pass


@pytest.fixture
def material(real: str, synthetic: str, small_config: EvaluateConfig) -> Material:
    return load_material(small_config, Dataset.open(real), Dataset.open(synthetic))


def test_fidelity_is_measured_in_its_features_and_names_it(
    material: Material, real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    saved(resnet, tmp_path)
    opened = Dataset.open(real), Dataset.open(synthetic)
    with opened_extractor(str(tmp_path)) as extractor:
        extracted = extracted_features(extractor, material, *opened)
        by_id = {
            each.image_id: extractor([decode(each.image)])[0]
            for each in opened[0].select(["real3", "real95", "real120"])
        }
    assert extracted.train[3] == pytest.approx(by_id["real3"], abs=1e-5)
    assert extracted.held_out[95 - 90] == pytest.approx(by_id["real95"], abs=1e-5)
    assert extracted.held_out[120 - 90] == pytest.approx(by_id["real120"], abs=1e-5)
    evidence = Evidence(small_config, material, {}, tmp_path, {}, extracted=extracted)
    found = FeatureFidelity().measure(evidence)["fidelity"]
    seed = derive_seed(small_config.seed, "fidelity")
    assert found.synthetic == compare_features(extracted.train, extracted.synthetic, seed)
    assert found.held_out_real == compare_features(extracted.train, extracted.held_out, seed)
    assert (found.synthetic.n_fake, found.held_out_real.n_fake, found.synthetic.n_real) == (60, 84, 90)
    assert found.source.model == "resnet"
    assert found.extractor == f"pooler_output of {tmp_path.resolve()}"
    [section] = FeatureFidelity().sections(EvaluationRecord(fidelity=found), {})
    assert section.blocks[1].rows[0][-1] == "bicubic to shortest_edge 40; centre crop height 32, width 32"
