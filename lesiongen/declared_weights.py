"""What a model's configuration declares against what its weights hold.

The libraries build what ``config.json`` describes, however large, and leave weights that are not in the files as they
were drawn at random: a model with a part missing would train and draw without an error. Names are left to the
libraries, which know those of earlier releases.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from lesiongen.errors import DataError

__all__ = ["check_all_loaded", "check_declared_size"]

_TOLERANCE = 2
"""How many times the weights of the files a model may have: layers may share some."""
_SHOWN = 3


def check_declared_size(folder: Path, build: Callable[[], torch.nn.Module]) -> None:
    """Checks that a model's configuration describes no larger a model than its weights hold.

    The model is built on the meta device: no weight is read, and none takes memory.

    Args:
        folder: The model, with ``config.json`` and safetensors weights.
        build: Builds what its configuration describes; called once the number of layers is known to be sane.

    Raises:
        DataError: The configuration describes more layers than there are tensors, or far more weights.
        OSError: A file is missing. Other exceptions mean that the configuration is damaged.
    """
    tensors, elements = _stored(folder)
    if not tensors:
        return  # from_pretrained says what it looked for
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if _layers(config) > tensors:
        raise _mismatch(folder, f"describes more layers than the weights have tensors ({tensors:,})")
    with torch.device("meta"):
        declared = sum(tensor.numel() for tensor in build().state_dict().values())
    if declared > _TOLERANCE * elements:
        raise _mismatch(folder, f"describes {declared:,} weights, and the files hold {elements:,}")


def check_all_loaded(folder: Path, info: Mapping[str, Any]) -> None:
    """Checks that every weight of a part came from its files.

    Args:
        folder: The part.
        info: What ``from_pretrained(…, output_loading_info=True)`` returns.

    Raises:
        DataError: A weight was not in the files; the message names some.
    """
    if missing := sorted(info["missing_keys"]):
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise _mismatch(folder, f"asks for {len(missing):,} tensors that the weights do not have: {shown}")


def _stored(folder: Path) -> tuple[int, int]:
    """Returns how many tensors the weights of a part have, and how many numbers."""
    tensors = elements = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                tensors, elements = tensors + 1, elements + math.prod(file.get_slice(name).get_shape())
    return tensors, elements


def _layers(config: Mapping[str, Any]) -> int:
    """Returns how many layers a configuration describes at least, by its fields that count them."""
    parts = (_layers(value) for value in config.values() if isinstance(value, dict))
    blocks = (len(value) for field, value in config.items() if "block" in field and isinstance(value, list))
    in_blocks = (max(_integers(value)) for field, value in config.items() if "per_block" in field)
    in_rows = (max(_integers(value)) for field, value in config.items() if "layers" in field)
    return max(max(blocks, default=1) * math.prod(max(1, count) for count in in_blocks), *in_rows, *parts, 1)


def _integers(value: Any) -> Iterator[int]:
    yield 0
    if isinstance(value, list):
        for item in value:
            yield from _integers(item)
    elif isinstance(value, int):
        yield value


def _mismatch(folder: Path, problem: str) -> DataError:
    return DataError(f"{folder} cannot be loaded: config.json {problem}.", hint="Copy or download the model again.")
