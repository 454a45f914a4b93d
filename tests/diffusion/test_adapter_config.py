"""Which modules an adapter is put on."""

import pytest

from lesiongen.diffusion.presets import preset
from lesiongen.errors import UsageError


def test_an_adapter_on_no_module_is_refused():
    with pytest.raises(UsageError, match=r"target_modules = \(\)"):
        preset("reference_lora", target_modules=())
