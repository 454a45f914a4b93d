"""Which modules an adapter is put on, and the file that it becomes."""

import pytest
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.presets import preset
from lesiongen.errors import UsageError


def test_an_adapter_on_no_module_is_refused():
    with pytest.raises(UsageError, match=r"target_modules = \(\)"):
        preset("reference_lora", target_modules=())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("norm1",), "target_modules = .*norm1"),
        (("foo",), "target_modules: unknown layer 'foo' of UNet2DConditionModel"),
        (("to_q", "typo_q"), "target_modules: unknown layer 'typo_q' of UNet2DConditionModel"),
        (("to_q", "o_q"), "target_modules: unknown layer 'o_q' of UNet2DConditionModel"),
    ],
)
def test_modules_that_cannot_be_adapted_are_named(config, dataset_uri, tmp_path, names, message):
    settings = config.changed(method="lora", rank=2, target_modules=names)
    with pytest.raises(UsageError, match=message):
        finetune(settings, dataset_uri, str(tmp_path / "model"))


def test_the_same_adapter_is_the_same_file(pipeline_folder, tmp_path):
    """safetensors writes metadata in an order of chance: of two entries, one time in two the other first."""
    family = family_of(pipeline_folder)
    denoiser = family.denoiser()
    denoiser.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    files = []
    for number in range(12):
        family.save_adapter(denoiser, tmp_path / str(number))
        files.append(tmp_path / str(number) / "pytorch_lora_weights.safetensors")
    assert len({path.read_bytes() for path in files}) == 1
    with safe_open(files[0], "pt") as content:
        assert set(content.metadata()) == {"format", "lora_adapter_metadata"}
    weights = load_file(files[0])
    assert weights
    assert all(name.startswith("unet.") and value.ndim == 2 for name, value in weights.items())
