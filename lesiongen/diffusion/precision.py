"""The precision in which a machine trains and draws."""

import logging

import torch

__all__ = ["HALF", "drawing_precision", "training_precision"]

logger = logging.getLogger(__name__)
HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


def training_precision(requested: str) -> str:
    """Returns ``fp32``, ``fp16`` or ``bf16``: what was asked for, where this machine has it.

    ``auto`` trains in fp32 on every CPU, so that a training is the same on all of them up to rounding.
    """
    if requested == "auto" and not torch.cuda.is_available():
        return "fp32"
    return drawing_precision(requested)


def drawing_precision(requested: str) -> str:
    """Returns what `training_precision` does, but ``auto`` also takes bf16 on a CPU with matrix units (AMX)."""
    if torch.cuda.is_available():
        if requested != "auto":
            return requested
        # GPUs without bf16 emulate it, slower than they compute in fp16.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if requested in ("auto", "bf16") and _has_matrix_units():
        return "bf16"
    if requested in HALF:
        logger.warning("This CPU is slower in %s than in fp32; using fp32", requested)
    return "fp32"


def _has_matrix_units() -> bool:
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
