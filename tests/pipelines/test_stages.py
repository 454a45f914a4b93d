"""The table of steps agrees with the components, the presets and the configurations."""

import re
from pathlib import Path

import pytest

from lesiongen.config import parse_config
from lesiongen.errors import UsageError
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


@pytest.mark.parametrize("name", PIPELINES)
def test_the_steps_of_a_pipeline_are_those_that_it_compiles_to(name):
    pipeline = find_pipeline(name)
    parts = {f"{stage}_parts": 2 for stage in pipeline.shared if stage in pipeline.stages}
    built = pipeline.build(CompileSettings(**parts), preset("tiny"))
    executors = built.pipeline_spec.deployment_spec["executors"]
    names = {re.sub(r"^exec-|-\d+$", "", each).replace("-", "_") for each in executors}
    assert names == set(pipeline.steps)


@pytest.mark.parametrize("name", PIPELINES)
def test_resources_of_a_step_that_the_pipeline_lacks_are_refused_with_the_steps_that_it_has(name):
    pipeline = find_pipeline(name)
    for step in STEPS:
        settings = CompileSettings(resources={step: {"timeout_hours": 99}})
        if step in pipeline.steps:
            pipeline.check_settings(settings)
        else:
            with pytest.raises(UsageError, match=f"the pipeline {name} has no step {step}") as refused:
                pipeline.check_settings(settings)
            assert refused.value.hint == f"Its steps: {', '.join(pipeline.steps)}."


def test_only_what_is_ingested_can_be_cached():
    with pytest.raises(UsageError, match="evaluate has no stage ingest.\nOmit --cache-ingest"):
        find_pipeline("evaluate").check_settings(CompileSettings(cache_ingest=True))
    find_pipeline("drift").check_settings(CompileSettings(cache_ingest=True))


def test_an_output_is_named_after_the_run():
    names = {spec.name: spec.config_of("lesions", {})[1].get("name") for spec in CONFIGURED}
    assert (names["caption"], names["sample"]) == ("lesions-captioned", "lesions-synthetic")
    assert names["reconstruct"] == "lesions-reconstructed"
    assert (names["ingest"], names["finetune"], names["validate"]) == ("lesions", "lesions", None)
