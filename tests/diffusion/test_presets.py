import pytest

from lesiongen.diffusion.config import FinetuneConfig, Full, Lora, Optimisation
from lesiongen.diffusion.presets import PRESETS, improved_lora, preset, reference_full, reference_lora
from lesiongen.diffusion.training.learner import learning_rate
from lesiongen.errors import UsageError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_whole_configuration_that_records_its_name(name):
    config = preset(name)
    assert config.preset == name
    assert FinetuneConfig.model_validate(config.model_dump()) == config


def test_the_reference_runs_have_the_published_numbers():
    lora, full = reference_lora(), reference_full()
    assert lora.base_model.base == full.base_model.base == "CompVis/stable-diffusion-v1-4"
    assert lora.adaptation == Lora(rank=64, lora_alpha=None)
    assert full.adaptation == Full()
    assert (lora.optimisation.learning_rate, lora.optimisation.ema) == (5e-6, False)
    assert (full.optimisation.learning_rate, full.optimisation.ema, full.optimisation.max_grad_norm) == (
        1e-5,
        True,
        1.0,
    )
    for config in (lora, full):
        steps = config.optimisation
        assert (steps.max_train_steps, steps.batch_size, steps.gradient_accumulation_steps) == (15_000, 1, 4)
        assert (steps.prediction_type, steps.lr_scheduler, steps.warmup_steps) == ("epsilon", "constant", 0)
        assert (steps.mixed_precision, steps.gradient_checkpointing, steps.snr_gamma) == ("fp16", True, None)
        assert (config.data.image_size, config.data.flip, config.runtime.checkpoint_every) == (256, True, 7_500)


def test_the_improved_run_sees_as_many_images_of_the_same_base_as_the_reference():
    ours, reference = improved_lora(), reference_lora()
    assert ours.base_model == reference.base_model
    assert ours.adaptation == reference.adaptation
    assert ours.data.image_size == reference.data.image_size
    for name in ("max_train_steps", "images_per_step"):
        assert getattr(ours.optimisation, name) == getattr(reference.optimisation, name)


def test_overrides_are_checked():
    changed = preset("reference_lora", rank=8).adaptation
    assert isinstance(changed, Lora)
    assert changed.rank == 8
    with pytest.raises(UsageError, match="rank = 0"):
        preset("reference_lora", rank=0)
    with pytest.raises(UsageError, match="unknown field rnak\nDid you mean rank?"):
        preset("reference_lora", rnak=8)
    with pytest.raises(UsageError, match="unknown preset 'huge'"):
        preset("huge")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": "tiny"}, "method must be 'full'"),
        ({"base": "tiny", "method": "full", "image_size": 32}, "tiny_base.image_size = 64 differs"),
        ({"warmup_steps": 5, "max_train_steps": 5}, "warmup_steps = 5 leaves nothing"),
        ({"processes": 3}, "processes = 3 must divide gradient_accumulation_steps = "),
    ],
)
def test_combinations_that_cannot_work_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        FinetuneConfig().changed(**values)


def test_the_learning_rate_warms_up_and_comes_down():
    config = Optimisation(max_train_steps=10, warmup_steps=2, lr_scheduler="cosine", learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert all(earlier > later > 0 for earlier, later in zip(rates[2:], rates[3:], strict=False))
    constant = Optimisation(max_train_steps=10, learning_rate=1.0)
    assert {learning_rate(constant, step) for step in range(10)} == {1.0}
