"""The parts of fine-tuning's configuration, and how a field is named without its part."""

import pytest

from lesiongen.config import parse_config
from lesiongen.diffusion.config import FinetuneConfig, Full, Lora, TinyBaseConfig
from lesiongen.diffusion.config_parts import in_parts
from lesiongen.diffusion.presets import preset
from lesiongen.errors import UsageError


def _fields() -> list[tuple[str, str]]:
    """Every field of every part, with the part; those of an adapter and of full training alike."""
    values = FinetuneConfig().model_dump()
    parts = {name: list(part) for name, part in values.items() if isinstance(part, dict)}
    return [(part, field) for part, fields in parts.items() for field in fields]


def test_a_name_belongs_to_one_part():
    names = [field for _, field in _fields()]
    outer = [name for name, value in FinetuneConfig().model_dump().items() if not isinstance(value, dict)]
    assert len(names) > 30
    assert len({*names, *outer}) == len(names) + len(outer)
    assert not {*names, *outer} & {part for part, _ in _fields()}


@pytest.mark.parametrize(("part", "field"), _fields())
def test_a_field_named_alone_is_put_into_its_part(part, field):
    assert in_parts(FinetuneConfig, {field: 1}) == {part: {field: 1}}


def test_a_part_is_not_named_on_the_command_line():
    message = "FinetuneConfig: optimisation is a part, not a field\nName its fields alone: batch_size, compile, "
    with pytest.raises(UsageError, match=message):
        in_parts(FinetuneConfig, {"optimisation": {"max_train_steps": 3}})


@pytest.mark.parametrize(("old", "new"), FinetuneConfig.renamed.items())
def test_an_old_name_is_refused_with_the_new_one(old, new):
    assert new in {field for _, field in _fields()}
    with pytest.raises(UsageError, match=f"unknown field {old}; it is now called {new}"):
        preset("tiny", **{old: 1})
    if old != "base_model":  # the name of a part now
        with pytest.raises(UsageError, match=f"unknown field {old}; it is now called {new}\nWrite it within"):
            parse_config(FinetuneConfig, {old: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "full", "rank": 8}, "rank = 8 has no effect with method = 'full'"),
        ({"method": "full", "lora_alpha": 8.0}, "lora_alpha = 8.0 has no effect with method = 'full'"),
        ({"balance_by": ["sex"]}, "balance_by = .*'sex'.* has no effect with class_balance_power = 0"),
        ({"tiny_base": {}}, "tiny_base has no effect with base = 'CompVis/stable-diffusion-v1-4'"),
        ({"base": "/models/x", "base_revision": "ab"}, "base_revision = 'ab' has no effect with base = '/models/x'"),
        ({"base": "s3://b/x", "base_revision": "ab"}, "base_revision = 'ab' has no effect"),
        ({"base": "tiny", "method": "full", "base_revision": "ab"}, "base_revision = 'ab' has no effect"),
        ({"ema_decay": 0.5}, "ema_decay = 0.5 has no effect with ema = False"),
        (
            {"num_validation_images": 0, "validation_guidance_scale": 3.0},
            "validation_guidance_scale = 3.0 has no effect",
        ),
        ({"num_validation_images": 0, "num_inference_steps": 3}, "num_inference_steps = 3 has no effect"),
        (
            {"num_validation_images": 0, "held_out_images": 0, "validation_every": 3},
            "validation_every = 3 has no effect with held_out_images = 0 and num_validation_images = 0",
        ),
    ],
)
def test_what_has_no_effect_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        FinetuneConfig().changed(**values)


def test_what_a_change_leaves_without_effect_is_back_at_its_default():
    ours = preset("improved_lora", ema=False, class_balance_power=0.0, method="full")
    assert (ours.optimisation.ema_decay, ours.data.balance_by, ours.adaptation) == (0.9999, (), Full())
    assert preset("reference_full", method="lora").adaptation == Lora()
    elsewhere = preset("miniature", base="owner/name")
    assert elsewhere.base_model.tiny_base is None
    assert preset("tiny", held_out_images=0, num_validation_images=0).validation.validation_every == 500


def test_fields_of_the_tiny_base_are_changed_one_by_one():
    before = preset("miniature").base_model.tiny_base
    changed = preset("miniature", tiny_base={"text_steps": 7}).base_model.tiny_base
    assert changed == before.changed(text_steps=7) != before
    assert preset("tiny", tiny_base={"text_steps": 7}).base_model.tiny_base == TinyBaseConfig(text_steps=7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adaptation": {"rank": 8}}, "FinetuneConfig: adaptation.method is missing"),
        (
            {"adaptation": {"method": "half"}},
            "FinetuneConfig: adaptation.method = 'half': must be one of 'lora', 'full'",
        ),
        ({"adaptation": {"method": "lora", "rank": 0}}, "FinetuneConfig: adaptation.rank = 0: "),
        ({"adaptation": {"method": "lora", "rnak": 1}}, "unknown field adaptation.rnak\nDid you mean rank?"),
        ({"max_train_steps": 3}, "unknown field max_train_steps\nWrite it within optimisation."),
    ],
)
def test_a_nested_value_that_is_refused_is_named_by_its_place(values, message):
    with pytest.raises(UsageError) as caught:
        parse_config(FinetuneConfig, values)
    assert message in str(caught.value)
