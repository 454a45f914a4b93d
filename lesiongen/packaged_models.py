"""Models that come with the package: a name in place of an address, the same on every machine that has it."""

from pathlib import Path

__all__ = ["LESIONGEN_TINY", "packaged_model"]

LESIONGEN_TINY = "lesiongen-tiny"
"""The base model that LesionGen has trained, on images that anybody may use."""
_FOLDER = Path(__file__).parent / "base_models"


def packaged_model(name: str) -> Path | None:
    """Returns the folder of a model of the package; None for what has another name.

    A folder of the same name in the working folder is meant with ``./lesiongen-tiny``.
    """
    return _FOLDER / name if name == LESIONGEN_TINY else None
