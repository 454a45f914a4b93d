"""Training in two processes: what one learns, up to rounding; the same again bit for bit; on after a stop."""

import numpy as np
import pytest

from lesiongen.diffusion import finetune


def _losses(result):
    return np.array(result.losses, dtype=float)


@pytest.mark.parametrize(
    ("method", "split"),
    [("full", {"batch_size": 2, "accumulation": 1}), ("lora", {"batch_size": 1, "accumulation": 2})],
)
def test_two_processes_follow_the_losses_of_one(config, dataset_uri, tmp_path, method, split):
    settings = config.model_copy(update={"method": method, "steps": 4, **split})
    one = finetune(settings, dataset_uri, str(tmp_path / "one"))
    two = finetune(settings.model_copy(update={"processes": 2}), dataset_uri, str(tmp_path / "two"))
    np.testing.assert_allclose(_losses(two), _losses(one), rtol=1e-4)
    assert two.held_out_loss == pytest.approx(one.held_out_loss, rel=1e-4)


def test_stopped_in_the_middle_two_processes_end_where_they_would_have(config, dataset_uri, tmp_path):
    settings = config.model_copy(update={"processes": 2, "accumulation": 1})
    whole = finetune(settings, dataset_uri, str(tmp_path / "whole"))
    # As if the run had been stopped after its third step: of the checkpoints only that one is left.
    halved = settings.model_copy(update={"checkpoint_every": 3, "keep_checkpoints": 5})
    place = str(tmp_path / "checkpoints")
    first = finetune(halved, dataset_uri, str(tmp_path / "first"), checkpoints=place)
    newest = next(path for path in (tmp_path / "checkpoints").rglob("step-00000006"))
    for path in newest.iterdir():
        path.unlink()
    resumed = finetune(halved, dataset_uri, str(tmp_path / "resumed"), checkpoints=place)
    assert resumed.resumed_from == 3
    assert resumed.losses == first.losses == whole.losses
    weights = "unet/diffusion_pytorch_model.safetensors"
    contents = [(tmp_path / name / weights).read_bytes() for name in ("whole", "first", "resumed")]
    assert contents[0] == contents[1] == contents[2]


def test_a_step_that_cannot_be_shared_is_refused(config):
    with pytest.raises(ValueError, match="processes = 2 share neither accumulation = 1"):
        type(config)(**config.model_dump() | {"processes": 2, "batch_size": 3, "accumulation": 1})
