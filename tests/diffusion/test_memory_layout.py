"""How weights lie in memory."""

from pathlib import Path

import pytest
import torch

from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.memory_layout import channels_last

MAPS = Path("/proc/self/maps")


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what is mapped")
def test_weights_let_go_of_the_file_that_they_were_mapped_from(pipeline_folder):
    denoiser = family_of(pipeline_folder).denoiser()
    weights = str(pipeline_folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert weights in MAPS.read_text()
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    channels_last(denoiser)
    assert weights not in MAPS.read_text()
    for name, value in denoiser.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.ndim != 4 or value.is_contiguous(memory_format=torch.channels_last)
