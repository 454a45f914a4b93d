"""What the libraries raise on a model folder that is damaged, or made to do harm."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from lesiongen.errors import DataError

__all__ = ["first_line", "told_as_damage"]

# diffusers, transformers and torch check little of a configuration: a wrong value fails where it is first used.
_DAMAGE: tuple[type[Exception], ...] = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, AssertionError, MemoryError,
    SafetensorError, StrictDataclassError,
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
        raise DataError(
            f"{folder} cannot be loaded: {first_line(error)}", hint="Copy or download the model again."
        ) from error


def first_line(error: Exception) -> str:
    """Returns the beginning of an error's message, or the error's type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
