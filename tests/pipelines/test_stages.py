"""The table of steps agrees with the components, the presets and the configurations."""

from pathlib import Path

import pytest

from lesiongen.config import parse_config
from pipelines import PIPELINES
from pipelines.definition import find_pipeline
from pipelines.presets import PRESETS, preset
from pipelines.settings import CompileSettings
from pipelines.stages import CONFIGURED, STEPS

COMPONENTS = Path(__file__).parents[2] / "components"


def test_every_component_is_in_the_table_and_has_resources():
    assert set(STEPS) == {path.parent.name for path in COMPONENTS.glob("*/component.py")}
    assert set(CompileSettings().resources) == set(STEPS)


def test_a_step_knows_its_component():
    assert {name: spec.component.name for name, spec in STEPS.items()} == {
        name: name.replace("_", "-") for name in STEPS
    }


def test_the_stages_of_a_release_are_those_that_users_know():
    stages = "ingest validate caption finetune sample reconstruct evaluate register promote"
    assert find_pipeline("release").stages == tuple(stages.split())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_configures_every_stage_that_can_be_configured(name):
    configs = preset(name)
    assert set(configs) == {spec.section for spec in CONFIGURED}
    for spec in CONFIGURED:
        kind, values = spec.config_of("lesions", configs[spec.section])
        parse_config(kind, values | ({"format": "image_folder"} if spec.name == "ingest" else {}))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_takes_the_configurations_of_its_stages_and_goes_through_each(name):
    pipeline = find_pipeline(name)
    built = pipeline.build(CompileSettings(), preset("tiny"))
    taken = {spec.argument_name for spec in CONFIGURED} & set(built.component_spec.inputs)
    assert taken == {spec.argument_name for spec in pipeline.configured}
    assert {f"comp-{stage.replace('_', '-')}" for stage in pipeline.stages} <= set(built.pipeline_spec.components)
    assert pipeline.request.model_fields["pipeline"].default == pipeline.name == name


def test_an_output_is_named_after_the_run():
    names = {spec.name: spec.config_of("lesions", {})[1].get("name") for spec in CONFIGURED}
    assert (names["caption"], names["sample"]) == ("lesions-captioned", "lesions-synthetic")
    assert names["reconstruct"] == "lesions-reconstructed"
    assert (names["ingest"], names["finetune"], names["validate"]) == ("lesions", "lesions", None)
