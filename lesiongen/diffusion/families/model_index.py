"""``model_index.json`` of a diffusers pipeline folder; no module that it names is imported because it names it."""

import json
from pathlib import Path
from typing import Any

from lesiongen.errors import UsageError

__all__ = ["UNUSED_PARTS", "read_index", "scheduler_type"]

UNUSED_PARTS = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that are never loaded: the checker blanks medical images, the others belong to image prompts."""
_LIBRARIES = (None, "diffusers", "transformers")


def read_index(folder: Path) -> dict[str, Any]:
    """Reads the index of a pipeline folder.

    Raises:
        UsageError: It is absent or unreadable, names no class, or a part comes from another library than diffusers
            and transformers: that would be code of the folder's own.
    """
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{folder} is not a diffusers pipeline: model_index.json: {error}") from error
    if not isinstance(index, dict) or "_class_name" not in index:
        raise UsageError(f"{folder} is not a diffusers pipeline: model_index.json: missing field '_class_name'")
    if not isinstance(index["_class_name"], str):
        raise _foreign(folder, "_class_name", index["_class_name"])
    for part, declared in index.items():
        if isinstance(declared, list) and part not in UNUSED_PARTS and not _is_known(declared):
            raise _foreign(folder, part, declared)
    return index


def scheduler_type(folder: Path) -> Any:
    """Returns the diffusers class of the folder's scheduler.

    Raises:
        UsageError: The index names none.
    """
    import diffusers

    declared: Any = read_index(folder).get("scheduler")
    library, name = declared if isinstance(declared, list) else (None, None)
    kind = getattr(diffusers, name, None) if isinstance(name, str) and library == "diffusers" else None
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise _foreign(folder, "scheduler", declared)
    return kind


def _is_known(declared: list[Any]) -> bool:
    library, name = declared if len(declared) == 2 else ("", "")
    return library in _LIBRARIES and (name is None or (isinstance(name, str) and name.isidentifier()))


def _foreign(folder: Path, field: str, value: object) -> UsageError:
    return UsageError(
        f"{folder}: model_index.json: invalid value of '{field}': {str(value)[:200]}",
        hint="Code that comes with a model is never run: only classes of diffusers and transformers are loaded.",
    )
