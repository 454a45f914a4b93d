"""Bands of age, the same wherever patients are counted, scored or described by age."""

import numpy as np
import pandas as pd

__all__ = ["AGE_BANDS", "AGE_WORDS", "OLDEST_NAMED_AGE", "age_bands", "age_in_words"]

AGE_BANDS = ("under 30", "30 to 44", "45 to 59", "60 to 74", "75 to 89", "90 and over")
_EDGES = (-np.inf, 30, 45, 60, 75, 90, np.inf)

OLDEST_NAMED_AGE = 89
"""Few people are older: a greater age can name one of them (HIPAA's Safe Harbor, 45 CFR 164.514(b)(2)(i)(C))."""

AGE_WORDS = tuple(
    band.replace(" and", " years and") if band.endswith("and over") else f"{band} years" for band in AGE_BANDS
)
"""How a caption states each band: "60 to 74 years", "90 years and over"."""


def age_bands(ages: pd.Series) -> pd.Series:
    """Returns the band of each age in years, one of `AGE_BANDS`, or None where no age is recorded.

    >>> age_bands(pd.Series([29.5, 62.0, None])).tolist()
    ['under 30', '60 to 74', None]
    """
    bands = pd.cut(ages.astype(float), bins=list(_EDGES), labels=list(AGE_BANDS), right=False)
    return bands.astype(object).where(bands.notna(), None)


def age_in_words(age: float) -> str:
    """Returns the words of an age's band, one of `AGE_WORDS`.

    >>> age_in_words(91)
    '90 years and over'
    """
    return AGE_WORDS[int(np.searchsorted(_EDGES, age, side="right")) - 1]
