"""The training loop: from cached latents and captions to a denoiser that has learnt them."""

import logging
import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import torch
from accelerate import Accelerator

from lesiongen.diffusion.checkpoints.store import Checkpoint, CheckpointStore
from lesiongen.diffusion.checkpoints.writer import CheckpointWriter
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.latents.cache import LatentCache
from lesiongen.diffusion.orientations import Orientations
from lesiongen.diffusion.stopping import StopRequest
from lesiongen.diffusion.training.draws import DataOrder, draw
from lesiongen.diffusion.training.learner import Learner, learning_rate
from lesiongen.diffusion.training.objective import loss_per_image
from lesiongen.diffusion.training.validation_images import ValidationImages
from lesiongen.errors import Diverged, Interrupted
from lesiongen.progress import Progress, progress
from lesiongen.seeds import derive_seed
from lesiongen.tracking import StageRun

__all__ = ["History", "Trainer"]

logger = logging.getLogger(__name__)


@dataclass
class History:
    """How a training went so far; it is kept in every checkpoint."""

    step: int = 0
    losses: list[float | None] = field(default_factory=list)
    """Loss of every step, None where it was not finite."""
    held_out: list[tuple[int, float | None]] = field(default_factory=list)
    """(step, loss on the held-out images), None where it was not finite."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    run_id: str | None = None
    """The MLflow run, which a restart within the same pipeline run continues."""
    pipeline_run: str | None = None
    """The pipeline run that it belongs to; None outside of one."""

    @classmethod
    def of(cls, saved: Checkpoint) -> Self:
        """Returns how the training of a checkpoint went."""
        values = dict(saved.state["history"])
        return cls(**values | {"held_out": [(step, loss) for step, loss in values["held_out"]]})


class Trainer:
    """Trains one denoiser.

    Args:
        config: The run's configuration.
        family: The model.
        training: The encoded training images.
        held_out: Encoded images that are never trained on; None: no held-out loss.
        accelerator: Device and precision.
        checkpoints: Where checkpoints go.
        run: Where metrics go.
        validation_images: Draws images with each held-out loss.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        family: ModelFamily,
        training: LatentCache,
        held_out: LatentCache | None,
        accelerator: Accelerator,
        checkpoints: CheckpointStore,
        run: StageRun,
        validation_images: ValidationImages,
    ) -> None:
        self.config, self.family, self.training, self.held_out = config, family, training, held_out
        self.accelerator, self.run, self.validation_images = accelerator, run, validation_images
        self.checkpoints = CheckpointWriter(checkpoints)
        self.learner = Learner(config, family, accelerator)
        self.order = DataOrder(config.seed, training.weights(config.data.class_balance_power, config.data.balance_by))
        self.orientations = Orientations(config.data.flip, config.data.rotations)
        self._loss_weights = family.noise_process.loss_weights(config.optimisation.snr_gamma)
        self.history = History()
        self._started = self._logged = (time.monotonic(), 0)
        self._saved = time.monotonic()

    def resume(self, saved: Checkpoint) -> None:
        """Takes up the state of a checkpoint."""
        self.learner.load(saved.tensors, saved.state["learner"])
        self.history = History.of(saved)
        if saved.step < self.config.optimisation.max_train_steps:
            logger.info("Resuming from the checkpoint of step %d", saved.step)

    def train(self, stop: StopRequest) -> History:
        """Runs the remaining steps.

        Raises:
            Interrupted: A stop was requested; a checkpoint has been written.
            Diverged: Loss or gradient was not finite for too many steps in a row.
            StorageError: A checkpoint could not be written.
        """
        self._started = self._logged = (time.monotonic(), self.history.step)
        self._saved = time.monotonic()
        steps, done = self.config.optimisation.max_train_steps, self.history.step
        try:
            with self.checkpoints, progress("Fine-tuning", total=steps, unit="steps", done=done) as bar:
                while self.history.step < steps:
                    self._guard(self.step())
                    self._after_step(bar, stop)
        except (Interrupted, Diverged):
            # All processes are here. One that ended before the first has written its checkpoint would end that too.
            self.accelerator.wait_for_everyone()
            raise
        return self.history

    def step(self) -> bool:
        """Takes one optimizer step; returns false where its loss or gradient was not finite and was dropped."""
        step, passes = self.history.step, self._passes()
        losses = []
        for places in passes:
            # Gradients travel between processes once a step, with the last pass.
            with nullcontext() if places == passes[-1] else self.accelerator.no_sync(self.learner.denoiser):
                part = self._loss(step, places)
                self.accelerator.backward(part / len(passes))
            losses.append(part.detach())
        loss = self.accelerator.reduce(torch.stack(losses).mean(), "mean")
        finite, mean = self.learner.update(step, loss), float(loss)
        self.history.losses.append(mean if math.isfinite(mean) else None)
        self.history.step += 1
        return finite

    def _passes(self) -> list[range]:
        """This process's places in a step's global batch: whole passes where they divide, else a share of each."""
        config, rank, world = self.config.optimisation, self.accelerator.process_index, self.accelerator.num_processes
        size, passes = config.batch_size, config.gradient_accumulation_steps
        if passes % world == 0:
            return [range(start * size, (start + 1) * size) for start in range(rank, passes, world)]
        share = size // world
        starts = range(rank * share, config.images_per_step, size)
        return [range(start, start + share) for start in starts]

    def held_out_loss(self) -> float | None:
        """Mean squared error on the held-out images, at timesteps and with noise that never change.

        Their timesteps represent those of the training; the weights are those that would be published. None
        where it is not finite.
        """
        cache = self.held_out
        if cache is None:
            raise ValueError("no held-out images were given")
        total, size = 0.0, self.config.optimisation.batch_size
        with torch.inference_mode(), self.learner.averaged() as denoiser, self.accelerator.autocast():
            for start in range(0, len(cache), size):
                rows = np.arange(start, min(start + size, len(cache)))
                total += float(self._held_out_losses(cache, denoiser, rows).sum())
        return total / len(cache) if math.isfinite(total) else None

    def _held_out_losses(
        self, cache: LatentCache, denoiser: torch.nn.Module, rows: np.ndarray[Any, np.dtype[np.int64]]
    ) -> torch.Tensor:
        """Returns the losses [n] of some rows: noise and timestep of a row are the same at every call."""
        draws = draw(
            derive_seed(self.config.seed, "held out"), 0, rows.tolist(), cache.shape,
            orientations=1, caption_dropout=0.0,
        )  # fmt: skip
        timesteps = self.family.noise_process.timesteps(torch.from_numpy((rows + 0.5) / len(cache)))
        latents = cache.latents(rows, draws.orientations, noise=None)
        prediction, wanted = self._predict(denoiser, latents, draws.noise, timesteps, cache.conditioning(rows))
        return loss_per_image(prediction, wanted)

    def _loss(self, step: int, places: range) -> torch.Tensor:
        """Returns the mean weighted loss of a batch."""
        config = self.config
        images = self.order.indices(step * config.optimisation.images_per_step + places.start, len(places))
        draws = draw(
            config.seed, step, places, self.training.shape,
            orientations=len(self.orientations), caption_dropout=config.data.caption_dropout,
        )  # fmt: skip
        timesteps = self.family.noise_process.timesteps(draws.uniform)
        latents = self.training.latents(images, draws.orientations, draws.posterior)
        conditioning = self.training.conditioning(images, draws.dropped)
        prediction, wanted = self._predict(self.learner.denoiser, latents, draws.noise, timesteps, conditioning)
        losses = loss_per_image(prediction, wanted)
        if self._loss_weights is not None:
            losses = losses * self._loss_weights(timesteps.to(losses.device))
        return losses.mean()

    def _predict(
        self,
        denoiser: torch.nn.Module,
        latents: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        conditioning: dict[str, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what the denoiser predicts for noisy latents, and what it should: two tensors as the latents."""
        device, process = self.accelerator.device, self.family.noise_process
        latents, noise, timesteps = latents.to(device), noise.to(device), timesteps.to(device)
        noisy = process.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
        on_device = {name: values.to(device) for name, values in conditioning.items()}
        prediction = self.family.predict(denoiser, noisy, timesteps, on_device)
        return prediction, process.target(latents, noise, timesteps)

    def _guard(self, finite: bool) -> None:
        history = self.history
        if finite:
            history.skipped_in_a_row = 0
            return
        history.skipped += 1
        history.skipped_in_a_row += 1
        logger.warning("Step %d: its loss or gradient is not finite; the step is left out", history.step)
        if history.skipped_in_a_row >= self.config.runtime.max_nonfinite:
            raise Diverged(
                f"Training diverged: loss or gradient was not finite for {history.skipped_in_a_row} steps in a row, "
                f"up to step {history.step}",
                hint="Lower learning_rate, or train in fp32 or bf16; the newest checkpoint is from before.",
            )

    def _after_step(self, bar: Progress, stop: StopRequest) -> None:
        config, history = self.config, self.history
        steps = config.optimisation.max_train_steps
        last, stopping = history.step == steps, self._stopping(stop)
        if last or history.step % config.validation.validation_every == 0:
            self._validate()
        if last or history.step % config.runtime.log_every == 0:
            self._log_metrics()
        bar.advance(1, note=self._note())
        if last or stopping or self._checkpoint_is_due():
            self.save()
        if stopping and not last:
            self.checkpoints.wait()
            raise Interrupted(
                f"Stopped by {stop.requested or 'another process'} after step {history.step} of {steps}; "
                f"the state is saved in {self.checkpoints.store.storage.uri}",
                hint="Run the same command again to resume from there.",
            )

    def _checkpoint_is_due(self) -> bool:
        """Whether enough steps or minutes have passed; of several processes the first alone saves, by its own clock."""
        runtime = self.config.runtime
        if self.history.step % runtime.checkpoint_every == 0:
            return True
        # Not while losses are not finite: the newest checkpoint shall be from before a training diverged.
        minutes = (time.monotonic() - self._saved) / 60
        return minutes >= runtime.checkpoint_minutes and not self.history.skipped_in_a_row

    def _stopping(self, stop: StopRequest) -> bool:
        """Whether any process was asked to stop: all of them have to save and end at the same step."""
        if self.accelerator.num_processes == 1:
            return stop.requested is not None
        asked = torch.tensor(float(stop.requested is not None), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum") > 0)

    def _validate(self) -> None:
        if self.held_out is not None:
            self._note_held_out_loss()
        if self.validation_images.wanted:
            # No autocast around it: accelerate has put one around the denoiser's own forward pass.
            with self.learner.averaged() as denoiser:
                self.validation_images.draw(denoiser, self.history.step, self.training.side)

    def _note_held_out_loss(self) -> None:
        loss, step = self.held_out_loss(), self.history.step
        self.history.held_out.append((step, loss))
        if loss is None:
            logger.warning("Step %d: the held-out loss is not finite", step)
        else:
            self.run.log_metrics({"held_out_loss": loss}, step=step)

    def _note(self) -> str:
        then, step = self._started
        images = (self.history.step - step) * self.config.optimisation.images_per_step
        rate = images / max(time.monotonic() - then, 1e-9)
        loss = self.history.losses[-1]
        return f"{'loss not finite' if loss is None else f'loss {loss:.4f}'} · {rate:.1f} images/s"

    def save(self) -> None:
        """Begins to write a checkpoint of this very state; of several processes, all in it, the first does."""
        self._saved = time.monotonic()
        if not self.accelerator.is_main_process:
            return
        state = {"learner": self.learner.state(), "history": asdict(self.history)}
        self.checkpoints.save(self.history.step, self.learner.tensors(), state)

    def _log_metrics(self) -> None:
        now, step = time.monotonic(), self.history.step
        then, logged = self._logged
        self._logged = (now, step)
        recent = [loss for loss in self.history.losses[logged:] if loss is not None]
        metrics = {
            "learning_rate": learning_rate(self.config.optimisation, step - 1),
            "images_per_second": (step - logged) * self.config.optimisation.images_per_step / max(now - then, 1e-9),
            "skipped_steps": float(self.history.skipped),
        }
        if recent:
            metrics["loss"] = sum(recent) / len(recent)
        self.run.log_metrics(metrics, step=step)
