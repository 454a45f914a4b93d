import pytest
from pydantic import ValidationError

from lesiongen.diffusion import FinetuneConfig
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
    assert lora.base == full.base == "CompVis/stable-diffusion-v1-4"
    assert (lora.method, lora.rank, lora.learning_rate, lora.ema) == ("lora", 64, 5e-6, False)
    assert (full.method, full.learning_rate, full.ema, full.max_grad_norm) == ("full", 1e-5, True, 1.0)
    for config in (lora, full):
        assert (config.steps, config.batch_size, config.accumulation, config.image_size) == (15_000, 1, 4, 256)
        assert (config.prediction, config.schedule, config.warmup_steps) == ("epsilon", "constant", 0)
        assert (config.precision, config.gradient_checkpointing, config.checkpoint_every) == ("fp16", True, 7_500)
        assert config.flip
        assert config.snr_gamma is None


def test_the_improved_run_sees_as_many_images_of_the_same_base_as_the_reference():
    ours, reference = improved_lora(), reference_lora()
    for name in ("base", "method", "rank", "steps", "images_per_step", "image_size"):
        assert getattr(ours, name) == getattr(reference, name)


def test_overrides_are_checked():
    assert preset("reference_lora", rank=8).rank == 8
    with pytest.raises(UsageError, match="rank = 0"):
        preset("reference_lora", rank=0)
    with pytest.raises(UsageError, match="rnak"):
        preset("reference_lora", rnak=8)
    with pytest.raises(UsageError, match="no preset 'huge'"):
        preset("huge")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base": "tiny", "method": "lora"}, "method must be 'full'"),
        ({"base": "tiny", "method": "full", "image_size": 32}, "base_model.image_size = 64 differs"),
        ({"warmup_steps": 5, "steps": 5}, "warmup_steps = 5 leaves nothing"),
    ],
)
def test_combinations_that_cannot_work_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        FinetuneConfig(**values)


def test_the_learning_rate_warms_up_and_comes_down():
    config = FinetuneConfig(steps=10, warmup_steps=2, schedule="cosine", learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert all(earlier > later > 0 for earlier, later in zip(rates[2:], rates[3:], strict=False))
    constant = FinetuneConfig(steps=10, learning_rate=1.0)
    assert {learning_rate(constant, step) for step in range(10)} == {1.0}
