import json

import numpy as np
import pytest
import torch

from lesiongen.concepts.tokenizer import build_tokenizer
from lesiongen.diffusion.model.folder import check_files, folder_digest, read_manifest
from lesiongen.diffusion.tiny.build import _text_encoder, build_base_model
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.diffusion.tiny.text_training import fit_text_encoder
from lesiongen.diffusion.tiny.vae import tiny_vae
from lesiongen.diffusion.tiny.vae_training import fit_vae, peak_signal_to_noise, pixels, unit_variance_latents

from .conftest import build_dataset

SMALL = TinyBaseConfig(
    image_size=16,
    vae_channels=(16, 32),
    unet_channels=(16, 32),
    text_width=32,
    text_layers=1,
    vae_steps=3,
    text_steps=3,
)


def lesions(count: int, size: int = 32) -> np.ndarray:
    """Dark discs on light skin, each with colours of its own."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    images = []
    for _ in range(count):
        centre, radius = random.uniform(-0.15, 0.15, 2), random.uniform(0.15, 0.35)
        inside = np.hypot(rows - centre[0], columns - centre[1]) < radius
        skin, lesion = random.uniform(150, 240, 3), random.uniform(20, 140, 3)
        images.append(np.where(inside[..., None], lesion, skin) + random.normal(0, 4, (size, size, 3)))
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory, dataset_uri):
    folder = tmp_path_factory.mktemp("built") / "base"
    build_base_model(SMALL, dataset_uri, folder)
    return folder


def test_an_untrained_vae_draws_a_blurred_copy_in_the_right_colours():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = tiny_vae(TinyBaseConfig(image_size=32)).eval()
    images = lesions(8)
    assert peak_signal_to_noise(vae, images) > 18
    with torch.no_grad():
        posterior = vae.encode(pixels(images)).latent_dist
        drawn = vae.decode(posterior.mean).sample
    local_colour = torch.nn.functional.avg_pool2d(pixels(images), 4)
    assert torch.corrcoef(torch.stack([posterior.mean[:, 0].flatten(), local_colour[:, 0].flatten()]))[0, 1] > 0.99
    torch.testing.assert_close(drawn.mean(dim=(2, 3)), pixels(images).mean(dim=(2, 3)), atol=0.1, rtol=0)


@pytest.mark.slow
def test_fitting_sharpens_what_the_vae_draws_and_repeats_itself():
    images = lesions(16, 16)
    config = SMALL.changed(vae_steps=40, vae_learning_rate=5e-4)
    vaes = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae = tiny_vae(config)
        before = peak_signal_to_noise(vae.eval(), images)
        fit_vae(vae, images, config)
        vaes.append(vae)
    assert peak_signal_to_noise(vaes[0], images) > before + 0.5
    for first, second in zip(vaes[0].parameters(), vaes[1].parameters(), strict=True):
        assert torch.equal(first, second)


def test_unit_variance_changes_the_latents_and_not_the_pictures():
    images = lesions(16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = tiny_vae(TinyBaseConfig(image_size=32)).eval()
    with torch.no_grad():
        posterior = vae.encode(pixels(images)).latent_dist
        drawn, relative = (
            vae.decode(posterior.mean).sample,
            posterior.std / posterior.mean.std(dim=(0, 2, 3))[:, None, None],
        )
        unit_variance_latents(vae, images)
        posterior = vae.encode(pixels(images)).latent_dist
        torch.testing.assert_close(vae.decode(posterior.mean).sample, drawn, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(posterior.std, relative, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(posterior.mean.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(posterior.mean.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)


def test_the_folder_is_a_whole_pipeline_of_safetensors_with_its_origin(built, dataset_uri):
    from diffusers import StableDiffusionPipeline
    from transformers import AutoTokenizer

    manifest = read_manifest(built)
    check_files(built, manifest)
    assert (manifest.method, manifest.prediction, manifest.image_size) == ("base", "v_prediction", 16)
    assert manifest.training.dataset.uri == dataset_uri
    assert manifest.training.images == 10
    assert not [path for path in built.rglob("*") if path.suffix in {".bin", ".pt", ".ckpt", ".pkl"}]
    assert len(AutoTokenizer.from_pretrained(built / "tokenizer")("melanoma").input_ids) == 3
    pipeline = StableDiffusionPipeline.from_pretrained(built, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("melanoma", num_inference_steps=2, height=16, width=16).images[0]
    assert image.size == (16, 16)


def test_building_again_gives_the_same_files_and_leaves_the_callers_stream_alone(built, dataset_uri, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    build_base_model(SMALL, dataset_uri, tmp_path / "again")
    assert torch.equal(torch.rand(1), expected)
    assert folder_digest(tmp_path / "again") == folder_digest(built)


def test_no_bar_of_a_library_appears_while_it_is_saved(tmp_path, capfd):
    build_base_model(SMALL, None, tmp_path / "base")
    assert "shards" not in capfd.readouterr().err


def test_neither_validation_nor_test_images_change_it(built, tmp_path):
    other = build_dataset(tmp_path / "set", {"train": 10, "validation": 2, "test": 5})
    build_base_model(SMALL, other, tmp_path / "base")
    assert folder_digest(tmp_path / "base") == folder_digest(built)


def test_no_steps_leave_the_vae_as_it_starts():
    vae = tiny_vae(SMALL)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    fit_vae(vae, lesions(4, 16), SMALL.changed(vae_steps=0))
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_a_fitted_text_encoder_says_at_its_end_tokens_what_was_asked():
    captions = [f"{name}, {size}, on a {tone} skin tone" for name in ("melanoma", "dermatofibroma")
                for size in ("small", "large") for tone in ("dark", "light")]  # fmt: skip
    config = SMALL.changed(text_steps=60, text_learning_rate=3e-3)
    torch.manual_seed(0)
    encoder, tokenizer = _text_encoder(config), build_tokenizer()

    def spread() -> float:
        """How far captions lie apart at the last token, as a share of what they have in common."""
        tokens = tokenizer(captions, padding="max_length", return_tensors="pt")
        with torch.no_grad():
            last = encoder(tokens.input_ids).last_hidden_state[:, -1]
        return (last.std(dim=0).norm() / last.mean(dim=0).norm()).item()

    before = spread()
    fit_text_encoder(encoder, tokenizer, captions, config)
    assert spread() > 2 * before


def test_without_a_dataset_it_is_random_and_says_so(tmp_path):
    manifest = build_base_model(SMALL, None, tmp_path / "base")
    assert manifest.training.dataset is None
    assert json.loads((tmp_path / "base" / "model_index.json").read_text())["safety_checker"] == [None, None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": 40}, "image_size = 40"),
        ({"unet_channels": (20, 40)}, "unet_channels"),
        ({"text_width": 20}, "text_width"),
        ({"vae_channels": (32, 32)}, "each must be wider than the one before"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TinyBaseConfig(**values)
