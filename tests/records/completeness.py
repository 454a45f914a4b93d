"""Looks for what a record lacks."""

from lesiongen.records.base import Record


def absent(record, place=""):
    """Names the fields of a record and of its parts that a document did not hold."""
    for name in type(record).model_fields:
        value, where = getattr(record, name), f"{place}.{name}"
        if name not in record.model_fields_set:
            yield where
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        for part in parts:
            if isinstance(part, Record):
                yield from absent(part, where)
