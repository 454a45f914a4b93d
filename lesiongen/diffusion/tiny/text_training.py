"""Fits the tiny text encoder to a run's own captions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.progress import progress
from lesiongen.seeds import derive_seed

__all__ = ["fit_text_encoder"]


def fit_text_encoder(encoder: Any, tokenizer: Any, captions: Sequence[str], config: TinyBaseConfig) -> None:
    """Trains the text encoder in place to tell, from the tokens that end a caption, which words it holds.

    Attention is causal, so a random encoder's end tokens hold a faint mixture of everything; the denoiser would
    have to learn from them and to read at the same time. Fitted, every end and padding token says what was asked.

    Args:
        encoder: A ``CLIPTextModel``.
        tokenizer: Its tokenizer.
        captions: Captions of the training images.
        config: Steps, batch size, learning rate, seed.
    """
    texts = sorted(set(captions))
    ids = tokenizer(
        texts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt"
    ).input_ids
    held = F.one_hot(ids, len(tokenizer)).amax(dim=1).float()
    words = torch.nonzero((held.mean(dim=0) > 0) & (held.mean(dim=0) < 1)).flatten()
    if not len(words):
        return  # one caption for all images: nothing to tell apart
    held = held[:, words]
    ended = (ids == tokenizer.eos_token_id).float()
    random = np.random.default_rng(derive_seed(config.seed, "text batches"))
    head = torch.nn.Linear(config.text_width, len(words))
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.text_learning_rate)
    encoder.train()
    with progress("Fitting the text encoder", total=config.text_steps, unit="steps") as bar:
        for _ in range(config.text_steps):
            rows = torch.from_numpy(random.integers(len(texts), size=config.text_batch_size))
            states = encoder(ids[rows]).last_hidden_state
            weight = ended[rows] / ended[rows].sum(dim=1, keepdim=True)
            predicted = head((states * weight[:, :, None]).sum(dim=1))
            loss = F.binary_cross_entropy_with_logits(predicted, held[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.advance(1, f"loss {loss.item():.3f}")
    encoder.eval()
