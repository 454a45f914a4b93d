"""Captions as the tokens that a text encoder reads."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["caption_tokens", "warn_of_cut_captions"]

logger = logging.getLogger(__name__)


def caption_tokens(tokenizer: Any, captions: Sequence[str], length: int | None = None) -> torch.Tensor:
    """Returns the token ids [n, length], cut and padded.

    Args:
        tokenizer: The text encoder's.
        captions: Any number of texts.
        length: In tokens; None: the most that the text encoder reads.
    """
    encoded = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=length or tokenizer.model_max_length,
        return_tensors="pt",
    )
    ids: torch.Tensor = encoded.input_ids
    return ids


def warn_of_cut_captions(tokenizer: Any, captions: Sequence[str], length: int | None = None) -> None:
    """Warns where captions are longer than the text encoder reads."""
    limit = length or tokenizer.model_max_length
    lengths = [len(ids) for ids in tokenizer(list(captions), verbose=False).input_ids]
    cut = sum(length > limit for length in lengths)
    if cut:
        logger.warning("%d captions exceed the text encoder's %d tokens and are cut: caption again", cut, limit)
