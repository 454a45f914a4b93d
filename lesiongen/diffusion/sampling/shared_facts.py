"""What a prompt may say of a patient: what several patients of the training images share."""

from collections.abc import Collection, Hashable, Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from lesiongen.concepts.demographics import FACTS, Fact, facts_stated, known_facts, with_facts
from lesiongen.concepts.vocabulary import recorded_skin_type
from lesiongen.dataset.subgroups import Subgroup
from lesiongen.dataset.taxonomy import diagnosis_phrase

__all__ = ["SHARED_COLUMNS", "SharedFacts"]

SHARED_COLUMNS = (
    "image_id", "lesion_id", "patient_id", "diagnosis", "age", "sex", "site", "skin_tone", "skin_tone_scale",
    "measured_tone",
)  # fmt: skip
"""Columns of the dataset that `SharedFacts` reads."""

_FACTS_OF: Mapping[Subgroup, tuple[Fact, ...]] = {
    "measured_tone": ("tone",),
    "skin_tone": ("tone", "skin_type"),
    "sex": ("sex",),
    "age_band": ("age",),
    "site": ("site",),
}


class SharedFacts:
    """Shortens captions to what at least so many patients of the same diagnosis share.

    A diagnosis with a rare combination of age, sex, site and skin tone describes one patient. Of what a caption states,
    the largest combination that is shared stays; of several as large, that with the more important facts (`FACTS`).

    Args:
        table: The training images, with `SHARED_COLUMNS`.
        least: Patients. They are distinguished by patient_id, else by lesion_id, else by image.
    """

    def __init__(self, table: pd.DataFrame, least: int) -> None:
        self._least = least
        records = table[list(SHARED_COLUMNS)].astype(object).where(table[list(SHARED_COLUMNS)].notna(), None)
        known = [_known(row) for row in records.to_dict("records")]
        self._known: dict[str, dict[Fact, str]] = dict(zip(table["image_id"], known, strict=True))
        self._facts = pd.DataFrame(known, columns=list(FACTS), index=table.index).assign(
            diagnosis=table["diagnosis"], patient=[_patient(row) for row in records.to_dict("records")]
        )
        self._counts: dict[tuple[str, ...], dict[Hashable, int]] = {}

    def prompt(self, caption: str, image_id: str, diagnosis: str, asked: Collection[Subgroup] = ()) -> str:
        """Returns a caption without the facts that too few patients share.

        Args:
            caption: Of a training image.
            image_id: Which.
            diagnosis: Its diagnosis.
            asked: What the user has asked for by name: it stays, whoever shares it.
        """
        known = self._known[image_id]
        stated = facts_stated(caption, known.get("site"))
        true = [fact for fact in FACTS if fact in stated and stated[fact] == known.get(fact)]
        wanted = {fact for column in asked for fact in _FACTS_OF.get(column, ())}
        kept = self._shared(diagnosis, known, true, [fact for fact in true if fact in wanted])
        facts = {fact: known[fact] for fact in kept}
        return with_facts(caption, facts, name=diagnosis_phrase(diagnosis), site=known.get("site"))

    def _shared(
        self, diagnosis: str, known: Mapping[Fact, str], stated: list[Fact], wanted: list[Fact]
    ) -> tuple[Fact, ...]:
        others = [fact for fact in stated if fact not in wanted]
        for size in range(len(others), 0, -1):
            for chosen in combinations(others, size):
                facts = tuple(fact for fact in FACTS if fact in wanted or fact in chosen)
                if self._patients(diagnosis, known, facts) >= self._least:
                    return facts
        return tuple(wanted)

    def _patients(self, diagnosis: str, known: Mapping[Fact, str], facts: tuple[Fact, ...]) -> int:
        """Counts the patients of a diagnosis of whom these facts are known to be the same."""
        if facts not in self._counts:
            grouped = self._facts.dropna(subset=list(facts)).groupby(["diagnosis", *facts])["patient"]
            self._counts[facts] = grouped.nunique().to_dict()
        return self._counts[facts].get((diagnosis, *(known[fact] for fact in facts)), 0)


def _known(row: Mapping[str, Any]) -> dict[Fact, str]:
    return known_facts(
        age=row["age"],
        sex=row["sex"],
        site=row["site"],
        skin_type=recorded_skin_type(row["skin_tone"], row["skin_tone_scale"]),
        measured_tone=row["measured_tone"],
    )


def _patient(row: Mapping[str, Any]) -> tuple[str, str]:
    """Names the patient of an image, as far as it is known."""
    return next((column, str(row[column])) for column in ("patient_id", "lesion_id", "image_id") if row[column])
