import pandas as pd

from lesiongen.dataset import age_bands


def test_a_band_begins_with_its_own_age_and_nothing_is_guessed():
    bands = age_bands(pd.Series([0, 29.9, 30, 44, 45, 59, 60, 74, 75, 89.9, 90, 120, None]))
    assert list(bands) == [
        "under 30", "under 30", "30 to 44", "30 to 44", "45 to 59", "45 to 59", "60 to 74", "60 to 74",
        "75 to 89", "75 to 89", "90 and over", "90 and over", None,
    ]  # fmt: skip
