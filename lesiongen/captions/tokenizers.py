"""Loads the tokenizers that captions are measured with: one for each text encoder of the base model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.model_files import model_files

__all__ = ["load_tokenizers", "token_budget"]

UNBOUNDED = 100_000
"""transformers writes 10**30 where a tokenizer has no limit."""

_FIRST = "tokenizer"
_PARTS = (_FIRST, "tokenizer_2", "tokenizer_3")
"""Folders of a pipeline's tokenizers: Stable Diffusion XL has two, Stable Diffusion 3 two or three."""
_WANTED = [
    *(f"{part}/*.{suffix}" for part in _PARTS for suffix in ("json", "txt")),
    *("config.json", "tokenizer*.json", "vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json"),
    "added_tokens.json",
]


def load_tokenizers(name: str) -> tuple[Any, ...]:
    """Loads the tokenizers of a base model: ``tiny``, a folder, an s3:// prefix or a hub name.

    Of a diffusers pipeline these are ``tokenizer`` and, where the pipeline has further text encoders, ``tokenizer_2``
    and ``tokenizer_3``; anything else is a tokenizer itself.

    Raises:
        UsageError: The tokenizer does not exist, or requires custom code, which is never run.
        StorageError: It cannot be fetched.
    """
    if name == "tiny":
        from lesiongen.concepts.tokenizer import build_tokenizer

        return (build_tokenizer(),)
    with model_files(name, None, _WANTED) as folder:
        return _from_folder(folder, name)


def _from_folder(folder: Path, name: str) -> tuple[Any, ...]:
    """Loads the tokenizers of a pipeline, or that which the folder itself is."""
    parts = [part for part in _PARTS if (folder / part).is_dir()]
    try:
        return tuple(_load(folder / part) for part in (parts if _FIRST in parts else [""]))
    except Exception as error:  # the libraries raise nearly anything at files that are damaged or foreign
        raise _not_loaded(name, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _not_loaded(name: str, problem: str) -> UsageError:
    return UsageError(
        f"tokenizer = {name!r} cannot be loaded: {problem}",
        hint="Name the folder of a tokenizer or of a diffusers pipeline, a model on the hub (which must be within "
        "reach), or tiny. Code that comes with a tokenizer is never run.",
    )


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
