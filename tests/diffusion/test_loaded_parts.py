"""What a configuration describes is compared with the weights; weights in the names of earlier releases are read."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from lesiongen.diffusion.families.parts import load_part
from lesiongen.errors import DataError

KINDS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}


def _weights(folder):
    return next(folder.glob("*.safetensors"))


@pytest.fixture
def part(pipeline_folder, tmp_path):
    """Copies a part of the pipeline, its configuration changed."""

    def copied(name, **changes):
        folder = shutil.copytree(pipeline_folder / name, tmp_path / name)
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | changes))
        return folder

    return copied


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("unet", {"block_out_channels": [8, 1 << 20]}, r"describes [\d,]+ weights, and the files hold 52,004"),
        ("unet", {"cross_attention_dim": 1 << 30}, r"describes [\d,]+ weights"),
        ("unet", {"layers_per_block": 100_000}, r"more layers than the weights have tensors \(208\)"),
        ("unet", {"transformer_layers_per_block": [1, [2, 100_000]]}, "more layers"),
        ("vae", {"block_out_channels": [8] * 2_000}, "more layers"),
        ("text_encoder", {"num_hidden_layers": 100_000}, "more layers"),
        ("text_encoder", {"max_position_embeddings": 1 << 40}, r"describes [\d,]+ weights"),
    ],
)
def test_a_configuration_that_is_larger_than_its_weights_takes_no_memory(part, name, changes, said):
    folder = part(name, **changes)
    with pytest.raises(DataError, match=said) as caught:
        load_part(KINDS[name], folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", list(KINDS))
def test_weights_that_are_not_in_the_files_are_not_made_up(part, name):
    folder = part(name)
    tensors = load_file(_weights(folder))
    lost = sorted(tensors)[len(tensors) // 2]
    save_file({key: value for key, value in tensors.items() if key != lost}, _weights(folder), {"format": "pt"})
    with pytest.raises(DataError, match=f"asks for 1 tensors that the weights do not have: {lost}"):
        load_part(KINDS[name], folder)


def _renamed(folder, rename):
    tensors = load_file(_weights(folder))
    renamed = {rename(key): value for key, value in tensors.items()}
    assert renamed.keys() != tensors.keys()
    save_file(renamed, _weights(folder), {"format": "pt"})


def test_a_text_encoder_in_the_names_of_earlier_releases_is_read(part, pipeline_folder):
    folder = part("text_encoder")
    _renamed(folder, lambda key: f"text_model.{key}")
    read, known = (load_part(CLIPTextModel, place) for place in (folder, pipeline_folder / "text_encoder"))
    assert all(torch.equal(one, other) for one, other in zip(read.parameters(), known.parameters(), strict=True))


def test_a_vae_in_the_names_of_earlier_releases_is_read(tmp_path):
    """The names that Stable Diffusion 1.4's file has."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=16)
    vae.save_pretrained(tmp_path)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(key):
        for new, name in old.items():
            key = key.replace(f".{new}.", f".{name}.")
        return key

    _renamed(tmp_path, rename)
    read = load_part(AutoencoderKL, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(read.parameters(), vae.parameters(), strict=True))
