"""The base model that comes with the package: what it weighs, what it has seen, and how it is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.diffusion import FinetuneConfig, SampleConfig, finetune
from lesiongen.diffusion.model.folder import check_files, local_model, read_manifest
from lesiongen.diffusion.presets import preset
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.errors import UsageError
from lesiongen.imaging import encode_png
from lesiongen.model_ancestry import ancestors, model_at
from lesiongen.model_files import DATA_SUFFIXES, check_model_name
from lesiongen.packaged_models import LESIONGEN_TINY, packaged_model
from lesiongen.phantoms import PhantomConfig, draw_concepts, render

FOLDER = packaged_model(LESIONGEN_TINY)
FIRST_OF_HAM10000 = 24306


def test_it_is_whole_small_and_data_alone():
    check_files(FOLDER, read_manifest(FOLDER))
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= DATA_SUFFIXES | {".md"}
    texts = [path.read_text() for path in files if path.name in {"_model.json", "config.json", "README.md"}]
    assert not any(found for text in texts for found in re.findall(r'"(?:/|s3://)[^"]*"', text)), "addresses of ours"
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") <= 25 * 2**20


def test_it_has_seen_free_images_alone_and_none_of_ham10000():
    seen = json.loads((FOLDER / "seen.json").read_text())["images"]
    assert {image["licence"] for image in seen} == {"CC0-1.0"}
    assert {image["source"] for image in seen} == {"isic2017-train", "lesiongen-phantoms"}
    numbers = [int(found[1]) for image in seen if (found := re.fullmatch(r"ISIC_(\d{7})", image["image_id"]))]
    assert len(numbers) > 1500
    assert max(numbers) < FIRST_OF_HAM10000
    assert f"{len(seen)} images" in (FOLDER / "README.md").read_text()


def test_it_draws_from_a_caption():
    generator = load_generator(LESIONGEN_TINY)
    [image] = generator.draw([Request(0, "nv", "a melanocytic nevus", 2.0, 2)], SampleConfig())
    assert image.size == (64, 64)


def test_its_name_is_no_address_of_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of the same name in the working folder is another model, which `./` names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / LESIONGEN_TINY).mkdir()
    check_model_name(LESIONGEN_TINY)
    with local_model(LESIONGEN_TINY) as folder:
        assert folder == FOLDER
    with pytest.raises(UsageError, match="contains no model"), local_model(f"./{LESIONGEN_TINY}"):
        pass
    with pytest.raises(UsageError, match="has no revision"), local_model(LESIONGEN_TINY, "main"):
        pass
    with pytest.raises(UsageError, match="base_revision"):
        preset("tiny", base=LESIONGEN_TINY, base_revision="0" * 40)


@pytest.mark.slow
def test_a_training_that_begins_from_it_names_it_and_is_followed_to_what_it_has_seen(tmp_path: Path):
    with DatasetWriter(str(tmp_path / "lesions"), name="lesions") as writer:
        for number in range(6):
            image, caption = encode_png(render(draw_concepts(PhantomConfig(), number), 64)), "a melanocytic nevus"
            writer.add(Sample(image, f"image{number}", "nv", split="train", lesion_id=f"l{number}", caption=caption))
    config: FinetuneConfig = preset(
        "demo", max_train_steps=1, warmup_steps=0, batch_size=2, validation_every=1, checkpoint_every=1
    )
    trained = finetune(config, str(tmp_path / "lesions"), str(tmp_path / "model"))
    model = model_at(trained.model.uri, trained.model.version).manifest
    assert model.base.uri == LESIONGEN_TINY
    [base] = ancestors(model)
    assert len(base.seen().images) == len(base.fingerprints())


def test_the_texture_loss_is_none_for_equal_images_and_prefers_structure_aside_to_a_blur():
    from lesiongen.diffusion.tiny.vae_training import texture_loss

    noise = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    aside, blurred = noise.roll(1, dims=-1), torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert texture_loss(noise, noise).item() == 0
    assert texture_loss(aside, noise) < 0.05 * texture_loss(blurred, noise)
    flat = torch.zeros(1, 3, 16, 16)
    bright = torch.full_like(flat, 0.5)
    assert texture_loss(flat, bright).item() == pytest.approx(0, abs=1e-12)


def test_an_autoencoder_fitted_with_the_texture_loss_keeps_more_fine_structure():
    from lesiongen.diffusion.tiny.config import TinyBaseConfig
    from lesiongen.diffusion.tiny.vae import tiny_vae
    from lesiongen.diffusion.tiny.vae_training import fit_vae, pixels, texture_loss

    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    left = {}
    for weight in (0.0, 2.0):
        config = TinyBaseConfig(
            image_size=16, vae_channels=(16, 32), vae_steps=60, vae_learning_rate=2e-3, vae_texture_weight=weight
        )
        torch.manual_seed(0)
        vae = tiny_vae(config)
        fit_vae(vae, images, config)
        with torch.inference_mode():
            drawn = vae.decode(vae.encode(pixels(images)).latent_dist.mean).sample
        left[weight] = texture_loss(drawn, pixels(images)).item()
    assert left[2.0] < 0.9 * left[0.0]
