"""The model folder of a finished training, with its losses and its origin."""

import json
from pathlib import Path

import torch
from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.model.base import Base
from lesiongen.diffusion.model.folder import write_manifest
from lesiongen.diffusion.training.learner import Learner
from lesiongen.diffusion.training.trainer import History
from lesiongen.records.evaluation import Source
from lesiongen.records.model import ModelManifest, Training
from lesiongen.reporting import figure_image

__all__ = ["loss_curve", "save_model"]


def save_model(
    folder: Path,
    config: FinetuneConfig,
    base: Base,
    family: ModelFamily,
    learner: Learner,
    history: History,
    dataset: Dataset,
    fingerprint: str,
    original_side: int,
) -> ModelManifest:
    """Writes the trained model to a new folder: a whole pipeline, or an adapter that names its base.

    Where a moving average is kept, it is what is published. ``losses.json`` and its figure, ``losses.png``, are
    written beside the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with learner.averaged() as denoiser:
        denoiser.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        write = family.save_adapter if config.adaptation.method == "lora" else family.save_pipeline
        write(denoiser, folder)
    (folder / "losses.json").write_text(
        json.dumps({"losses": history.losses, "held_out": history.held_out}), encoding="utf-8"
    )
    loss_curve(history, config, family.noise_process.timestep_density).save(folder / "losses.png")
    reference = dataset.reference()
    return write_manifest(
        folder,
        family=family.name,
        method=config.adaptation.method,
        base=base.reference,
        prediction_type=family.noise_process.prediction_type,
        image_size=config.data.image_size,
        original_side=original_side,
        training=Training(
            config=config.model_dump(mode="json"),
            fingerprint=fingerprint,
            dataset=Source(uri=reference.uri, version=reference.version),
            base_trained_on_own_images=base.built,
            steps=history.step,
            skipped_steps=history.skipped,
            held_out_loss=history.held_out[-1][1] if history.held_out else None,
        ),
    )


def loss_curve(history: History, config: FinetuneConfig, timestep_density: str) -> Image.Image:
    """Draws the training loss (each step, and its running mean) and the held-out loss.

    Where timesteps are weighted in training the legend says so: the two curves then differ by more than the images.

    Args:
        history: The losses.
        config: The training's configuration.
        timestep_density: How the held-out loss spreads its timesteps, as the noise process says it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="mean squared error", yscale="log")
    training = "training" if config.optimisation.snr_gamma is None else "training, timesteps weighted"
    known = [(step, loss) for step, loss in enumerate(history.losses, start=1) if loss is not None]
    if known:
        steps, losses = zip(*known, strict=True)
        axes.plot(steps, losses, color="0.8", linewidth=0.7, label=f"{training}, each step")
        axes.plot(steps, _running_mean(list(losses)), color="tab:blue", label=f"{training}, running mean")
    held_out = [(step, loss) for step, loss in history.held_out if loss is not None]
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        label = f"held-out images, timesteps {timestep_density}"
        axes.plot(steps, losses, color="tab:orange", marker="o", markersize=3, label=label)
    axes.legend(frameon=False)
    return figure_image(figure)


def _running_mean(losses: list[float], memory: float = 0.98) -> list[float]:
    total, weight, means = 0.0, 0.0, []
    for loss in losses:
        total, weight = memory * total + loss, memory * weight + 1
        means.append(total / weight)
    return means
