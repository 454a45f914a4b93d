"""The denoiser while it learns: its trainable weights, their optimizer and their moving average."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

from lesiongen.diffusion.config import FinetuneConfig, Lora, Optimisation
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.memory_layout import channels_last
from lesiongen.diffusion.precision import HALF
from lesiongen.errors import UsageError
from lesiongen.seeds import derive_seed

__all__ = ["Learner", "learning_rate"]

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def learning_rate(config: Optimisation, step: int) -> float:
    """Learning rate of a step (0, 1, ...): linear warm-up, then constant or half a cosine down to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.lr_scheduler == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / (config.max_train_steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class Learner:
    """The denoiser, its optimizer and its moving average, as one state that is written down as named tensors.

    Args:
        config: The run's configuration.
        family: Gives the denoiser.
        accelerator: Device, precision and the backward pass.
    """

    def __init__(self, config: FinetuneConfig, family: ModelFamily, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        denoiser = family.denoiser()
        if isinstance(config.adaptation, Lora):
            _add_adapter(denoiser, config.adaptation, config.seed, HALF.get(accelerator.mixed_precision))
        else:
            denoiser.requires_grad_(True)
        if config.optimisation.gradient_checkpointing:
            denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
        channels_last(denoiser)
        denoiser.train()
        if config.optimisation.compile:
            denoiser.compile()  # in place: the names of the weights stay
        optimizer = torch.optim.AdamW(
            [parameter for parameter in denoiser.parameters() if parameter.requires_grad],
            lr=config.optimisation.learning_rate,
            weight_decay=config.optimisation.weight_decay,
            fused=True,
        )
        self.denoiser, self.optimizer = accelerator.prepare(denoiser, optimizer)
        self.weights = {name: value for name, value in self.plain.named_parameters() if value.requires_grad}
        self.average = _average(config.optimisation, list(self.weights.values()))

    @property
    def plain(self) -> torch.nn.Module:
        """The denoiser without what accelerate wraps around it."""
        plain: torch.nn.Module = self.accelerator.unwrap_model(self.denoiser)
        return plain

    def update(self, step: int, loss: torch.Tensor) -> bool:
        """Applies the gathered gradients; returns false where loss or gradient is not finite, and drops them.

        The gradient is judged by its norm, which may overflow though every value in it is finite: clipping to such a
        norm leaves zeros. Neither weights, optimizer nor average are touched then; in fp16 the scale is lowered.

        Args:
            step: Number of the step, which its learning rate depends on.
            loss: Of all images of the step, those of other processes included.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.optimisation, step)
        norm = self.accelerator.clip_grad_norm_(list(self.weights.values()), self.config.optimisation.max_grad_norm)
        finite = bool(torch.isfinite(norm) & torch.isfinite(loss))  # at once: each answer is waited for
        if finite:
            self.optimizer.step()
        elif self.accelerator.scaler is not None:
            _lower(self.accelerator.scaler)
        self.optimizer.zero_grad()
        if finite and self.average is not None:
            self.average.step(self.weights.values())
        return finite

    @contextmanager
    def averaged(self) -> Iterator[torch.nn.Module]:
        """Gives the denoiser as it would be published: with the moving average's weights, where one is kept."""
        self.plain.eval()
        if self.average is not None:
            self.average.store(self.weights.values())
            self.average.copy_to(self.weights.values())
        try:
            yield self.plain
        finally:
            if self.average is not None:
                self.average.restore(self.weights.values())
            self.plain.train()

    def tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        """Returns all tensors that resuming needs, by group and name."""
        moments = {
            f"{name}/{moment}": self.optimizer.state[weight][moment]
            for name, weight in self.weights.items()
            if weight in self.optimizer.state
            for moment in _MOMENTS
        }
        groups = {"weights": dict(self.weights), "optimizer": moments}
        if self.average is not None:
            groups["average"] = dict(zip(self.weights, self.average.shadow_params, strict=True))
        return groups

    def state(self) -> dict[str, Any]:
        """Returns what resuming needs besides the tensors."""
        scaler = self.accelerator.scaler
        return {
            "average_steps": self.average.optimization_step if self.average is not None else 0,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any]) -> None:
        """Takes up what :meth:`tensors` and :meth:`state` wrote down."""
        for name, weight in self.weights.items():
            weight.copy_(tensors["weights"][name])
            if f"{name}/step" in tensors["optimizer"]:
                self.optimizer.state[weight] = {
                    moment: _like(weight, tensors["optimizer"][f"{name}/{moment}"]) for moment in _MOMENTS
                }
        if self.average is not None:
            for shadow, name in zip(self.average.shadow_params, self.weights, strict=True):
                shadow.copy_(tensors["average"][name])
            self.average.optimization_step = state["average_steps"]
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])


def _add_adapter(denoiser: torch.nn.Module, config: Lora, seed: int, half: torch.dtype | None) -> None:
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    if half is not None:
        channels_last(denoiser, half)  # frozen, so half precision loses nothing; what is trained stays in fp32
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.lora_alpha or config.rank,
        init_lora_weights="gaussian",
        target_modules=list(config.target_modules),
    )
    _require_layers(denoiser, config.target_modules)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "adapter"))
        try:
            denoiser.add_adapter(adapter)  # type: ignore[operator]
        except ValueError as error:  # peft's, of layers that it cannot adapt
            raise UsageError(f"target_modules = {list(config.target_modules)}: {error}") from error
    cast_training_params(denoiser, dtype=torch.float32)


def _require_layers(denoiser: torch.nn.Module, names: Sequence[str]) -> None:
    """Refuses an unknown layer name; peft ignores it silently if another name matches."""
    layers = [f".{name}" for name, _ in denoiser.named_modules()]
    for name in names:
        if not any(layer.endswith(f".{name}") for layer in layers):
            raise UsageError(f"target_modules: unknown layer {name!r} of {type(denoiser).__name__}")


def _lower(scaler: torch.amp.GradScaler) -> None:
    """Lowers the scale as after a step with a gradient that is not finite; the scaler itself may have found none."""
    state = scaler.state_dict()
    scaler.load_state_dict(state | {"_growth_tracker": 0})
    scaler.update(state["scale"] * state["backoff_factor"])


def _average(config: Optimisation, weights: list[torch.nn.Parameter]) -> Any:
    from diffusers.training_utils import EMAModel

    return EMAModel(weights, decay=config.ema_decay, foreach=True) if config.ema else None


def _like(weight: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
    if saved.shape != weight.shape:  # the optimizer's step counter
        return saved.to(weight.device)
    # The weight's own memory layout: the optimizer's fused kernel walks both side by side.
    return torch.empty_like(weight).copy_(saved)
