"""The rule for names: of a dataset, a model, an evaluation, a release."""

import re
import unicodedata
from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from lesiongen.errors import UsageError

__all__ = [
    "LONGEST_NAME",
    "DerivedName",
    "Name",
    "captioned_name",
    "check_name",
    "name_from",
    "reconstructed_name",
    "selected_name",
    "synthetic_name",
]

LONGEST_NAME = 100
"""Names become part of others, of paths and of S3 keys: ``<name>-captioned``, ``<name>-classifier.promotion-lock``."""

_LONGEST_SUFFIX = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _checked(name: str, longest: int = LONGEST_NAME) -> str:
    if len(name) > longest:
        raise ValueError(f"has {len(name)} characters, at most {longest} are allowed")
    if not _NAME.fullmatch(name):
        raise ValueError("must begin with a letter or digit and hold only A-Z, a-z, 0-9, '.', '_' and '-'")
    return name


Name = Annotated[str, AfterValidator(_checked)]
"""A name that MLflow, a path, an S3 key and a query all take as it is."""

DerivedName = Annotated[str, AfterValidator(partial(_checked, longest=LONGEST_NAME + _LONGEST_SUFFIX))]
"""A name with what a stage appends to that of its input (``<name>-captioned``): somewhat longer, otherwise alike."""


def check_name(name: str) -> str:
    """Returns a name that keeps to the rule.

    Raises:
        UsageError: It does not; the message quotes it.

    >>> check_name("ham10000-captioned")
    'ham10000-captioned'
    """
    try:
        return _checked(name)
    except ValueError as error:
        raise UsageError(f"name = {name!r}: {error}") from error


def captioned_name(name: str) -> str:
    """Returns the name of the captioned form of a dataset.

    >>> captioned_name("ham10000")
    'ham10000-captioned'
    """
    return f"{name}-captioned"


def synthetic_name(name: str) -> str:
    """Returns the name of the dataset that is drawn from a dataset, or from its captioned form.

    >>> synthetic_name("ham10000"), synthetic_name("ham10000-captioned")
    ('ham10000-synthetic', 'ham10000-synthetic')
    """
    return f"{name.removesuffix('-captioned')}-synthetic"


def reconstructed_name(name: str) -> str:
    """Returns the name of the reconstructions of a dataset, or of its captioned form.

    >>> reconstructed_name("ham10000"), reconstructed_name("ham10000-captioned")
    ('ham10000-reconstructed', 'ham10000-reconstructed')
    """
    return f"{name.removesuffix('-captioned')}-reconstructed"


def selected_name(name: str) -> str:
    """Returns the name of a selection of the images of a synthetic dataset.

    >>> selected_name("ham10000-synthetic")
    'ham10000-synthetic-selected'
    """
    return f"{name}-selected"


def name_from(text: str) -> str:
    """Returns a name that keeps to the rule, made from what a user called a folder or an archive.

    Accents are dropped (``Läsionen (2024)`` becomes ``Lasionen-2024``), other characters become one ``-``; what is
    too long is cut, and ``dataset`` is the name where nothing is left.

    >>> name_from("Größe & Farbe (2024)")
    'Groe-Farbe-2024'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip("._-")[:LONGEST_NAME].rstrip("-") or "dataset"
