"""Loads the tokenizers that captions are measured with: one for each text encoder of the base model."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.storage import open_storage

__all__ = ["load_tokenizers", "token_budget"]

UNBOUNDED = 100_000
"""transformers writes 10**30 where a tokenizer has no limit."""

FURTHER = "tokenizer_2"
"""Folder of the second text encoder's tokenizer in a pipeline that has one, as Stable Diffusion XL's."""


def load_tokenizers(name: str) -> tuple[Any, ...]:
    """Loads the tokenizers of a base model: ``tiny``, a folder, an s3:// prefix or a hub name.

    Of a diffusers pipeline these are ``tokenizer`` and, where the pipeline has two text encoders, ``tokenizer_2``;
    anything else is a tokenizer itself.

    Raises:
        UsageError: There is no tokenizer by that name.
    """
    if name == "tiny":
        from lesiongen.concepts.tokenizer import build_tokenizer

        return (build_tokenizer(),)
    if not name.startswith("s3://"):
        return _from_folder_or_hub(name)
    with tempfile.TemporaryDirectory(prefix="lesiongen-tokenizer-") as folder:
        _download(name, Path(folder))
        return _from_folder_or_hub(folder)


def _download(address: str, folder: Path) -> None:
    """Fetches a pipeline's tokenizer folders, or the whole prefix where it is a tokenizer itself."""
    storage = open_storage(address)
    nested = [part for part in ("tokenizer", FURTHER) if any(storage.child(part).list())]
    for part in nested:
        storage.child(part).download_folder(folder / part)
    if not nested:
        storage.download_folder(folder)


def _from_folder_or_hub(name: str) -> tuple[Any, ...]:
    """Tries a pipeline's ``tokenizer`` folder first, then the place itself."""
    problem = ""
    for subfolder in ("tokenizer", ""):
        if Path(name).is_dir() and not (Path(name) / subfolder).is_dir():
            continue
        try:
            first = _load(name, subfolder)
        except (OSError, ValueError) as error:
            problem = str(error).splitlines()[0]
        else:
            return (first, *(_further(name) if subfolder else ()))
        if "couldn't connect" in problem:  # to ask again would only wait again
            break
    raise UsageError(
        f"tokenizer = {name!r} cannot be loaded: {problem}",
        hint="Name the folder of a tokenizer or of a diffusers pipeline, a model on the hub (which must be within "
        "reach), or tiny.",
    )


def _further(name: str) -> tuple[Any, ...]:
    """Loads the second tokenizer of a pipeline that has one."""
    if Path(name).is_dir():
        return (_load(name, FURTHER),) if (Path(name) / FURTHER).is_dir() else ()
    try:
        return (_load(name, FURTHER),)
    except (OSError, ValueError):  # the hub has no such folder: a pipeline with one text encoder
        return ()


def _load(name: str, subfolder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, subfolder=subfolder)


def token_budget(tokenizers: Sequence[Any], wanted: int | None) -> int:
    """Returns the longest caption in tokens that every text encoder takes.

    Raises:
        UsageError: More tokens are wanted than a text encoder takes, or none names a limit and none is wanted.
    """
    limit = min(int(tokenizer.model_max_length) for tokenizer in tokenizers)
    if wanted is None and limit > UNBOUNDED:
        raise UsageError("The tokenizer names no limit", hint="Give max_tokens.")
    if wanted is not None and wanted > limit:
        raise UsageError(f"max_tokens = {wanted}: the text encoder takes at most {limit}")
    return limit if wanted is None else wanted
