"""Cells of tables as text."""

import json

__all__ = ["text_of"]


def text_of(value: object) -> str:
    """Returns a cell's value as text; nothing, and a missing number, is blank.

    Raises:
        ValueError: The value cannot be written as text; likewise TypeError, OverflowError and RecursionError.
    """
    if value is None or value != value:  # a missing number in Parquet is NaN
        return ""
    if isinstance(value, bytes):  # what writers without UTF-8 columns make of text
        return value.decode("utf-8")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=text_of)
    return str(value)
