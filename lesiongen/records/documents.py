"""Parsing the documents of stages, with errors that name the document and say what to do."""

import json
from collections.abc import Mapping
from typing import Any

from lesiongen.errors import DataError

__all__ = ["parsed_document"]


def parsed_document(data: bytes, name: str, *, what: str, hint: str, key: str | None = None) -> Mapping[str, Any]:
    """Parses a document of schema version 1.

    Args:
        data: Its content.
        name: Its address, for errors.
        what: What it has to be, such as ``an evaluation``.
        hint: How to make it again.
        key: A key without which it is something else.

    Raises:
        DataError: It is not JSON, not such a document, or was written by a later release.
    """
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON: {error}", hint=hint) from error
    if not isinstance(content, Mapping) or (key is not None and key not in content):
        raise DataError(f"{name} is not {what}.", hint=hint)
    version = content.get("schema_version", 1)
    if version != 1:
        raise DataError(f"{name} has schema version {version!r}; this release reads 1", hint="Use a later release.")
    return content
