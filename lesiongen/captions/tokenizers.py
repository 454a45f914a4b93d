"""Loads the tokenizer that captions are measured with."""

import tempfile
from pathlib import Path
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.storage import open_storage

__all__ = ["load_tokenizer", "token_budget"]

UNBOUNDED = 100_000
"""transformers writes 10**30 where a tokenizer has no limit."""


def load_tokenizer(name: str) -> Any:
    """Loads a tokenizer: ``tiny``, a folder, an s3:// prefix or a hub name; of a pipeline, its ``tokenizer`` folder.

    Raises:
        UsageError: There is no tokenizer by that name.
    """
    if name == "tiny":
        from lesiongen.concepts.tokenizer import build_tokenizer

        return build_tokenizer()
    if not name.startswith("s3://"):
        return _from_folder_or_hub(name)
    with tempfile.TemporaryDirectory(prefix="lesiongen-tokenizer-") as folder:
        storage = open_storage(name)
        nested = storage.child("tokenizer")
        (nested if any(nested.list()) else storage).download_folder(Path(folder))
        return _from_folder_or_hub(folder)


def _from_folder_or_hub(name: str) -> Any:
    """Tries a pipeline's ``tokenizer`` folder first, then the place itself."""
    from transformers import AutoTokenizer

    folder = Path(name)
    problem = ""
    for subfolder in ("tokenizer", ""):
        if folder.is_dir() and not (folder / subfolder).is_dir():
            continue
        try:
            return AutoTokenizer.from_pretrained(name, subfolder=subfolder)
        except (OSError, ValueError) as error:
            problem = str(error).splitlines()[0]
        if "couldn't connect" in problem:  # to ask again would only wait again
            break
    raise UsageError(
        f"tokenizer = {name!r} cannot be loaded: {problem}",
        hint="Name the folder of a tokenizer or of a diffusers pipeline, a model on the hub (which must be within "
        "reach), or tiny.",
    )


def token_budget(tokenizer: Any, wanted: int | None) -> int:
    """Returns the longest caption in tokens.

    Raises:
        UsageError: More tokens are wanted than the text encoder takes, or it names no limit and none is wanted.
    """
    limit = int(tokenizer.model_max_length)
    if wanted is None and limit > UNBOUNDED:
        raise UsageError("The tokenizer names no limit", hint="Give max_tokens.")
    if wanted is not None and wanted > limit:
        raise UsageError(f"max_tokens = {wanted}: the text encoder takes at most {limit}")
    return limit if wanted is None else wanted
