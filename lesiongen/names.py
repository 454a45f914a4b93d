"""The one rule for names: of a dataset, a model, an evaluation, a release."""

import re
from typing import Annotated

from pydantic import AfterValidator

from lesiongen.errors import UsageError

__all__ = ["LONGEST_NAME", "Name", "check_name"]

LONGEST_NAME = 100
"""Names become part of others, of paths and of S3 keys: ``<name>-captioned``, ``<name>-classifier.promotion-lock``."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _checked(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"has {len(name)} characters, at most {LONGEST_NAME} are allowed")
    if not _NAME.fullmatch(name):
        raise ValueError("must begin with a letter or digit and hold only A-Z, a-z, 0-9, '.', '_' and '-'")
    return name


Name = Annotated[str, AfterValidator(_checked)]
"""A name that MLflow, a path, an S3 key and a query all take as it is."""


def check_name(name: str) -> str:
    """Returns a name that keeps to the rule.

    Raises:
        UsageError: It does not; the message quotes it.
    """
    try:
        return _checked(name)
    except ValueError as error:
        raise UsageError(f"name = {name!r}: {error}") from error
