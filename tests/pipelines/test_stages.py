"""The table of steps agrees with the components, the presets and the configurations."""

from pathlib import Path

import pytest

from lesiongen.config import parse_config
from pipelines.presets import PRESETS, preset
from pipelines.settings import CompileSettings
from pipelines.stages import CONFIGURED, STAGES, STEPS

COMPONENTS = Path(__file__).parents[2] / "components"


def test_every_component_is_in_the_table_and_has_resources():
    assert set(STEPS) == {path.parent.name for path in COMPONENTS.glob("*/component.py")}
    assert set(CompileSettings().resources) == set(STEPS)


def test_the_stages_are_those_that_users_know():
    assert STAGES == ("ingest", "validate", "caption", "finetune", "sample", "evaluate", "register", "promote")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_configures_every_stage_that_can_be_configured(name):
    arguments = preset(name).arguments()
    assert set(arguments) == {spec.argument_name for spec in CONFIGURED}
    for spec in CONFIGURED:
        kind, values = spec.config_of("lesions", arguments[spec.argument_name])
        parse_config(kind, values | ({"format": "image_folder"} if spec.name == "ingest" else {}))


def test_an_output_is_named_after_the_run():
    names = {spec.name: spec.config_of("lesions", {})[1].get("name") for spec in CONFIGURED}
    assert (names["caption"], names["sample"]) == ("lesions-captioned", "lesions-synthetic")
    assert (names["ingest"], names["finetune"], names["validate"]) == ("lesions", "lesions", None)
