"""Numbers of records in sentences."""

__all__ = ["number"]


def number(value: float | None, form: str = ".3f") -> str:
    """Returns a number as text, ``unknown`` where a record does not hold it.

    >>> number(0.5), number(None), number(0.123, ".0%")
    ('0.500', 'unknown', '12%')
    """
    return "unknown" if value is None else format(value, form)
