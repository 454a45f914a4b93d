"""Training in fp16 with its gradient scaler, on a CPU: accelerate gives one to GPUs alone, torch has one for both."""

import json
import os
import signal

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.training import training_job
from lesiongen.diffusion.training.learner import Learner
from lesiongen.diffusion.training.trainer import Trainer
from lesiongen.errors import Interrupted

LOSS = torch.tensor(0.5)
GROWTH_INTERVAL = 3


class ScalingAccelerator(Accelerator):
    """accelerate as it is on a GPU in fp16; the scale grows after a few steps."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.native_amp = True
        self.scaler = torch.amp.GradScaler("cpu", growth_interval=GROWTH_INTERVAL)


@pytest.fixture(autouse=True)
def _precision_of_the_next_test():
    AcceleratorState._reset_state(reset_partial_state=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=False)


@pytest.fixture
def learner(config, pipeline_folder):
    accelerator = ScalingAccelerator(cpu=True, mixed_precision="fp16")
    return Learner(config, family_of(pipeline_folder), accelerator)


def _backward(learner, gradient):
    """Leaves behind what a backward pass does of a loss with this gradient, the same for every weight."""
    learner.accelerator.backward(sum((weight * gradient).sum() for weight in learner.weights.values()))


def _tensors(learner):
    return {
        f"{group}/{name}": value.clone()
        for group, values in learner.tensors().items()
        for name, value in values.items()
    }


def _unchanged(learner, before):
    now = _tensors(learner)
    return now.keys() == before.keys() and all(torch.equal(now[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("gradient", "loss"),
    [
        pytest.param(torch.nan, LOSS, id="gradient is no number"),
        pytest.param(1e35, LOSS, id="scaled gradient overflows"),
        pytest.param(1e30, LOSS, id="norm of finite gradients overflows"),
        pytest.param(1e-3, torch.tensor(torch.inf), id="loss overflows"),
    ],
)
def test_what_is_not_finite_takes_no_step_and_lowers_the_scale(learner, gradient, loss):
    for step in range(2):
        _backward(learner, 1e-3)
        assert learner.update(step, LOSS)
    before, scale = _tensors(learner), learner.accelerator.scaler.state_dict()
    _backward(learner, gradient)
    assert not learner.update(2, loss)
    assert _unchanged(learner, before)
    assert all(weight.grad is None for weight in learner.weights.values())
    lowered = learner.accelerator.scaler.state_dict()
    assert (scale["_growth_tracker"], lowered["_growth_tracker"]) == (2, 0)
    assert lowered["scale"] == scale["scale"] / 2
    _backward(learner, 1e-3)
    assert learner.update(3, LOSS)
    assert not _unchanged(learner, before)


def test_a_norm_is_that_of_the_gradient_without_its_scale(config, pipeline_folder):
    ends = []
    for kind, precision in ((Accelerator, "no"), (ScalingAccelerator, "fp16")):
        AcceleratorState._reset_state(reset_partial_state=False)
        learner = Learner(config, family_of(pipeline_folder), kind(cpu=True, mixed_precision=precision))
        for step, gradient in enumerate((1e-4, 10.0)):  # below the norm that is clipped to, and above
            _backward(learner, gradient)
            assert learner.update(step, LOSS)
        ends.append(_tensors(learner))
    assert _unchanged(learner, ends[0])


@pytest.fixture
def in_fp16(monkeypatch):
    """Trains in fp16; the given steps have a loss that is not finite, and after one the run is asked to stop."""
    plan = {"poisoned": (), "stop": None}
    loss, step = Trainer._loss, Trainer.step

    def poisoned(self, number, places):
        value = loss(self, number, places)
        return value * torch.nan if number in plan["poisoned"] else value

    def stopping(self):
        finite = step(self)
        if self.history.step == plan["stop"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return finite

    monkeypatch.setattr(Trainer, "_loss", poisoned)
    monkeypatch.setattr(Trainer, "step", stopping)
    monkeypatch.setattr(training_job, "training_precision", lambda _: "fp16")
    monkeypatch.setattr(training_job, "Accelerator", ScalingAccelerator)
    return plan


def _last(place):
    (folder,) = place.glob("*/step-00000008")
    state = json.loads((folder / "state.json").read_text())
    return state, {path.name: load_file(path) for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    ("poisoned", "stop", "scale", "tracker"),
    [
        pytest.param((0,), 1, 2.0**15, 0, id="before the first step that is taken"),
        pytest.param((1,), 4, 2.0**15, 2, id="with a lowered scale, a step before it grows"),
        pytest.param((6,), 5, 2.0**17, 2, id="with a grown scale"),
    ],
)
def test_a_resumed_training_scales_as_one_never_stopped(
    config, dataset_uri, tmp_path, in_fp16, method, poisoned, stop, scale, tracker
):
    settings = config.changed(method=method, max_train_steps=8)
    in_fp16["poisoned"] = poisoned
    finetune(settings, dataset_uri, str(tmp_path / "whole"), checkpoints=str(tmp_path / "undisturbed"))
    in_fp16["stop"] = stop
    with pytest.raises(Interrupted):
        finetune(settings, dataset_uri, str(tmp_path / "model"), checkpoints=str(tmp_path / "stopped"))
    (saved,) = (tmp_path / "stopped").glob(f"*/step-{stop:08d}/state.json")
    scaler = json.loads(saved.read_text())["learner"]["scaler"]
    assert (scaler["scale"], scaler["_growth_tracker"]) == (scale, tracker)
    in_fp16["stop"] = None
    resumed = finetune(settings, dataset_uri, str(tmp_path / "model"), checkpoints=str(tmp_path / "stopped"))
    assert (resumed.resumed_from, resumed.skipped_steps) == (stop, 1)
    (state, tensors), (wanted, expected) = _last(tmp_path / "stopped"), _last(tmp_path / "undisturbed")
    assert state == wanted
    for name, values in expected.items():
        assert tensors[name].keys() == values.keys()
        assert all(torch.equal(tensors[name][key], value) for key, value in values.items())
