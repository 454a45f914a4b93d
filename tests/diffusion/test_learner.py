import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.training.learner import Learner

LOSS = torch.tensor(0.5)


@pytest.fixture
def accelerator():
    def make(precision):
        AcceleratorState._reset_state(reset_partial_state=False)
        return Accelerator(cpu=True, mixed_precision=precision)

    yield make
    AcceleratorState._reset_state(reset_partial_state=False)


def _backward(learner, family):
    torch.manual_seed(0)
    noisy, told = torch.randn(2, 4, 8, 8), {"text": torch.randn(2, 24, 16)}
    prediction = family.predict(learner.denoiser, noisy, torch.tensor([10, 900]), told)
    learner.accelerator.backward(prediction.float().square().mean())


def test_an_update_is_that_of_plain_adamw(config, pipeline_folder, accelerator):
    # The fused kernel reads weights, gradients and moments in memory order: they must be laid out alike.
    family = family_of(pipeline_folder)
    learner = Learner(config.changed(ema=False, warmup_steps=0), family, accelerator("no"))
    plain = family.denoiser()
    plain.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        plain.parameters(), lr=config.optimisation.learning_rate, weight_decay=0.01, fused=False
    )
    for _ in range(2):
        _backward(learner, family)
        grads = {name: weight.grad.clone() for name, weight in learner.weights.items()}
        for name, weight in plain.named_parameters():
            weight.grad = grads[name].contiguous()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), config.optimisation.max_grad_norm)
        optimizer.step()
        assert learner.update(0, LOSS)
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(learner.weights[name], weight, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("method", "frozen"), [("lora", torch.bfloat16), ("full", None)])
def test_in_half_precision_what_is_trained_stays_in_fp32(config, pipeline_folder, accelerator, method, frozen):
    family = family_of(pipeline_folder)
    learner = Learner(config.changed(method=method), family, accelerator("bf16"))
    _backward(learner, family)
    assert learner.update(0, LOSS)
    assert {weight.dtype for weight in learner.weights.values()} == {torch.float32}
    others = {value.dtype for value in learner.plain.parameters() if not value.requires_grad}
    assert others == ({frozen} if frozen else set())


def test_gradient_checkpointing_changes_nothing_but_memory(config, pipeline_folder, accelerator):
    family, grads = family_of(pipeline_folder), []
    for switched in (False, True):
        changed = config.changed(method="lora", rank=2, gradient_checkpointing=switched)
        learner = Learner(changed, family, accelerator("no"))
        _backward(learner, family)
        grads.append([weight.grad.clone() for weight in learner.weights.values()])
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own, of torch.jit
@pytest.mark.slow
def test_a_compiled_denoiser_learns_the_same(config, dataset_uri, tmp_path, monkeypatch):
    """Traced as for the real compiler, which takes minutes, but run as it is."""
    compiled, compile_module = [], torch.nn.Module.compile

    def trace(module):
        compiled.append(module)
        compile_module(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    plain = config.changed(method="lora", rank=2, max_train_steps=3)
    one = finetune(plain, dataset_uri, str(tmp_path / "one"))
    assert not compiled
    two = finetune(plain.changed(compile=True), dataset_uri, str(tmp_path / "two"))
    assert len(compiled) == 1
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-4)
    weights = [load_file(tmp_path / name / "pytorch_lora_weights.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
