"""Which modules an adapter is put on."""

import pytest

from lesiongen.diffusion import finetune
from lesiongen.diffusion.presets import preset
from lesiongen.errors import UsageError


def test_an_adapter_on_no_module_is_refused():
    with pytest.raises(UsageError, match=r"target_modules = \(\)"):
        preset("reference_lora", target_modules=())


@pytest.mark.parametrize("names", [("foo",), ("norm1",)])
def test_modules_that_cannot_be_adapted_are_named(config, dataset_uri, tmp_path, names):
    settings = config.model_copy(update={"method": "lora", "target_modules": names})
    with pytest.raises(UsageError, match=f"target_modules = .*{names[0]}"):
        finetune(settings, dataset_uri, str(tmp_path / "model"))
