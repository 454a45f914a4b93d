"""The figure of the mixing curve."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from lesiongen.records.mixing_curve import MixingCurve
from lesiongen.reporting import figure_image

__all__ = ["mixing_curve_figure"]

COLOUR = "#3ca951"


def mixing_curve_figure(curve: MixingCurve) -> Image.Image:
    """Draws the balanced accuracy on validation images over the share of synthetic images, with intervals.

    Share 1 is not joined to the others: it is the condition ``synthetic``, whose training the protocol does not mix.
    """
    return figure_image(_drawn(curve))


def _drawn(curve: MixingCurve) -> Figure:
    scores = [point.balanced_accuracy for point in curve.points]
    shares = np.array([point.share for point in curve.points], dtype=float)
    means, lows, highs = (
        np.array([getattr(score, name) for score in scores], dtype=float) for name in ("mean", "low", "high")
    )
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(shares, means, yerr=np.abs(np.stack([lows, highs]) - means), fmt="o", capsize=3, color=COLOUR)
    mixed = shares < 1
    axes.plot(shares[mixed], means[mixed], color=COLOUR)
    axes.set(xlim=(-0.04, 1.04), xlabel="share of synthetic images", ylabel="balanced accuracy, validation")
    axes.grid(color="#e4e4e4")
    axes.set_axisbelow(True)
    return figure
