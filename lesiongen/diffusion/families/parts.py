"""Loads the parts of a pipeline folder as classes that the family names, never as the folder names them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lesiongen.damage import told_as_damage
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.diffusion.families.weight_files import variant_of
from lesiongen.errors import DataError, UsageError

__all__ = ["check_part", "load_part", "load_tokenizer", "without_bars", "without_dropout"]


def check_part(folder: Path) -> None:
    """Checks the configurations and the headers of the weights, before anything is encoded.

    Raises:
        DataError: The part is missing or damaged.
    """
    hint = "Copy or download the model again."
    configurations = sorted(folder.glob("*config.json"))
    if not configurations:
        raise DataError(f"{folder} is missing, or contains no configuration: the model is not whole", hint=hint)
    try:
        for path in configurations:
            if not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
                raise ValueError("not a JSON object")
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt"):
                pass  # opening it compares its size with what its head says
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: {error}", hint=hint) from error


def load_part(kind: Any, folder: Path) -> Any:
    """Loads one model of a pipeline, frozen and in fp32, also where its weights are there in half precision only.

    Left to themselves, transformers takes the precision that a folder was saved in, and diffusers does not: parts of
    one pipeline would differ.

    Raises:
        UsageError: The folder holds no safetensors weights of this kind.
        DataError: Its configuration or its weights are damaged, or do not fit together.
    """
    try:
        with without_bars(), told_as_damage(folder):
            check_declared_size(folder, lambda: _described(kind, folder))
            model, info = kind.from_pretrained(
                folder,
                variant=variant_of(folder),
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except OSError as error:
        raise _no_safetensors(folder, kind.__name__) from error
    check_all_loaded(folder, info)
    model.requires_grad_(False)
    return model


def _described(kind: Any, folder: Path) -> torch.nn.Module:
    """Builds what a part's configuration describes, without its weights."""
    from diffusers import ModelMixin

    model: torch.nn.Module = (
        kind.from_config(kind.load_config(folder, local_files_only=True))
        if issubclass(kind, ModelMixin)
        else kind(kind.config_class.from_pretrained(folder, local_files_only=True))
    )
    return model


def load_tokenizer(kind: Any, folder: Path) -> Any:
    """Loads one tokenizer of a pipeline.

    Raises:
        DataError: One of its files is damaged or missing.
    """
    with told_as_damage(folder, OSError):
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """Turns dropout off: it draws from the global random stream, which no checkpoint holds."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@contextmanager
def without_bars() -> Iterator[None]:
    """Keeps the libraries' own progress bars, of files on this machine, out of ours."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [module for module in (diffusers_logging, transformers_logging) if module.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()


def _no_safetensors(folder: Path, kind: str) -> UsageError:
    return UsageError(
        f"{folder} contains no safetensors weights of a {kind}",
        hint="Pickled weights are not loaded: convert the model to safetensors first.",
    )
