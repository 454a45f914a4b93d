"""Subgroups of images: one definition for validation, balancing, sampling plans, evaluation and inspection."""

from typing import Literal, get_args

import pandas as pd

from lesiongen.dataset.age_bands import age_bands
from lesiongen.errors import DataError

__all__ = ["SUBGROUPS", "SUBGROUP_COLUMNS", "Subgroup", "group_named", "require_group", "subgroups_of"]

Subgroup = Literal["sex", "age_band", "site", "skin_tone", "measured_tone", "image_type", "device"]
SUBGROUPS: tuple[Subgroup, ...] = get_args(Subgroup)
SUBGROUP_COLUMNS = ("sex", "age", "site", "skin_tone", "skin_tone_scale", "measured_tone", "image_type", "device")
"""Columns of a dataset that define its subgroups."""


def subgroups_of(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the groups of each image.

    A recorded skin tone is named with its scale (``fitzpatrick 3``): a 3 on another scale is another skin. Ages are in
    bands (`lesiongen.dataset.age_bands.AGE_BANDS`).

    Args:
        table: A row for each image, with `SUBGROUP_COLUMNS`; what a column that is absent would say is not known.

    Returns:
        The same rows, with a column for each of `SUBGROUPS`; None where it is not known.
    """
    table = table.reindex(columns=list(SUBGROUP_COLUMNS))
    plain = {name: table[name] for name in SUBGROUPS if name not in ("age_band", "skin_tone")}
    found = pd.DataFrame({**plain, "age_band": age_bands(table["age"]), "skin_tone": _scaled_tone(table)})
    return found[list(SUBGROUPS)].astype(object).where(found.notna(), None)


_FITZPATRICK = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5", "VI": "6"}


def group_named(groups: pd.Series, name: str) -> str:
    """Returns the group that a name means.

    A skin tone may be named without its scale where only one records it, and a type of Fitzpatrick's scale by its roman
    number.

    Args:
        groups: One column of `subgroups_of`.
        name: What the user calls the group.

    Returns:
        The name of a group of the column, or the name as it was given.

    >>> tones = pd.Series(["fitzpatrick 3", "monk 5"], name="skin_tone")
    >>> [group_named(tones, name) for name in ("3", "III", "Fitzpatrick III", "monk 5")]
    ['fitzpatrick 3', 'fitzpatrick 3', 'fitzpatrick 3', 'monk 5']
    """
    if groups.name != "skin_tone":
        return name
    known = groups.dropna().unique()
    number = _FITZPATRICK.get(name.upper().removeprefix("FITZPATRICK ").strip())
    scaled = [str(group) for group in known if group == f"fitzpatrick {number}" or str(group).endswith(f" {name}")]
    return scaled[0] if name not in known and len(scaled) == 1 else name


def _scaled_tone(table: pd.DataFrame) -> pd.Series:
    scale = table["skin_tone_scale"].fillna("").astype(str)
    tone = (scale + " " + table["skin_tone"].astype(str)).str.strip()
    return tone.astype(object).where(table["skin_tone"].notna(), None)


def require_group(table: pd.DataFrame, asked: str, uri: str, what: str) -> None:
    """Refuses a group of patients that no row is of: most often a typing error.

    Args:
        table: What `subgroups_of` returned.
        asked: ``column=group``.
        uri: Where the rows are from, for the message.
        what: What the rows are.

    Raises:
        DataError: No row is of the group; the message names the groups that there are.
    """
    column, _, name = asked.partition("=")
    found = table[column].dropna().astype(str)
    if group_named(found, name) not in set(found):
        known = ", ".join(sorted(found.unique())) or "none"
        raise DataError(
            f"{uri}: worst_group = {asked!r}: this group has no {what}", hint=f"Groups by {column}: {known}."
        )
