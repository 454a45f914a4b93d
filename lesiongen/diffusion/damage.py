"""What the libraries raise on a model folder that is damaged, or made to do harm."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from lesiongen.errors import DataError

__all__ = ["told_as_damage"]

# diffusers, transformers and torch check little of a configuration: a wrong value fails where it is first used.
_DAMAGE: tuple[type[Exception], ...] = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, AssertionError, MemoryError,
    SafetensorError,
)  # fmt: skip


@contextmanager
def told_as_damage(folder: Path, *further: type[Exception]) -> Iterator[None]:
    """Turns what loading a part of a model raises into an error that names the part.

    Args:
        folder: The part.
        further: Other errors that mean damage here.

    Raises:
        DataError: Loading failed.
    """
    try:
        yield
    except (*_DAMAGE, *further) as error:
        problem = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"{folder} cannot be loaded: {problem[0][:300]}", hint="Copy or download the model again."
        ) from error
