"""The picture of a training's losses."""

import matplotlib.axes
import pytest

from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.supported import FAMILIES, family_named
from lesiongen.diffusion.training.save import loss_curve
from lesiongen.diffusion.training.trainer import History


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("stable-diffusion", "held-out images, timesteps alike"),
        ("stable-diffusion-xl", "held-out images, timesteps alike"),
        ("stable-diffusion-3", "held-out images, timesteps logit-normal"),
    ],
)
def test_the_legend_says_how_timesteps_are_spread(monkeypatch, family, said):
    labels = []
    plot = matplotlib.axes.Axes.plot

    def watched(axes, *values, **style):
        labels.append(style["label"])
        return plot(axes, *values, **style)

    monkeypatch.setattr(matplotlib.axes.Axes, "plot", watched)
    history = History(step=2, losses=[1.0, 0.5], held_out=[(2, 0.7)])
    loss_curve(history, FinetuneConfig(), family_named(family).noise_process_type.timestep_density)
    assert labels == ["training, each step", "training, running mean", said]
    assert family in {each.name for each in FAMILIES}
