"""Bands of age, the same wherever patients are counted or scored by age."""

import numpy as np
import pandas as pd

__all__ = ["AGE_BANDS", "age_bands"]

AGE_BANDS = ("under 30", "30 to 44", "45 to 59", "60 to 74", "75 and over")
_EDGES = (-np.inf, 30, 45, 60, 75, np.inf)


def age_bands(ages: pd.Series) -> pd.Series:
    """Returns the band of each age in years, one of `AGE_BANDS`, or None where no age is recorded."""
    bands = pd.cut(ages.astype(float), bins=list(_EDGES), labels=list(AGE_BANDS), right=False)
    return bands.astype(object).where(bands.notna(), None)
