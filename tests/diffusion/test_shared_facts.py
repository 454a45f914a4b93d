"""A prompt says of the patient what several training patients share."""

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion.sampling.config import PlanEntry, SampleConfig
from lesiongen.diffusion.sampling.plan import requests

from .conftest import png

COMMON = {"age": 62.0, "sex": "female", "site": "back", "skin_tone": "2", "skin_tone_scale": "fitzpatrick"}
SAID = "nevus, red, {age} years, {sex}, {site}, Fitzpatrick II, light skin tone"


def _patients(folder, *patients):
    """Four images of each patient, captioned as older versions did."""
    with DatasetWriter(str(folder), name="patients") as writer:
        for number, changes in enumerate(patients):
            facts = COMMON | changes
            caption = SAID.format(**facts | {"age": f"{facts['age']:.0f}"})
            for image in range(4):
                writer.add(Sample(
                    image=png(10 * number + image), image_id=f"{number}-{image}", patient_id=f"P{number}",
                    diagnosis="nv", split="train", caption=caption, **facts,
                ))  # fmt: skip
    return Dataset.open(str(folder))


@pytest.mark.parametrize(
    ("changes", "where", "prompt"),
    [
        ({}, {}, "nevus, red, 60 to 74 years, female, back, Fitzpatrick II, light skin tone"),
        ({"age": 93.0}, {}, "nevus, red, female, back, Fitzpatrick II, light skin tone"),
        ({"sex": "male", "site": "scalp"}, {}, "nevus, red, 60 to 74 years, Fitzpatrick II, light skin tone"),
        ({"age": 93.0, "sex": "male", "site": "scalp", "skin_tone": "6"}, {}, "nevus, red"),
        ({"age": 93.0}, {"age_band": "90 and over"}, "nevus, red, 90 years and over"),
        ({"site": "scalp"}, {"site": "scalp"}, "nevus, red, scalp"),
    ],
)
def test_a_prompt_states_what_five_patients_share_and_what_the_plan_asks_for(tmp_path, changes, where, prompt):
    """The last of five patients differs: her four images make no five patients of her."""
    dataset = _patients(tmp_path / "set", {}, {}, {}, {}, *([{}] if changes else []), changes)
    entry = PlanEntry(diagnosis="nv", count=60, where=where)
    drawn = requests(SampleConfig(plan=(entry,)), dataset)
    assert {item.prompt for item in drawn if item.caption_of.startswith(f"{5 if changes else 4}-")} == {prompt}


def test_fewer_patients_than_the_limit_share_nothing(tmp_path):
    dataset = _patients(tmp_path / "set", {}, {}, {}, {})
    assert {item.prompt for item in requests(SampleConfig(per_class=9), dataset)} == {"nevus, red"}
    four = SampleConfig(per_class=9, min_patients_per_prompt=4)
    assert {item.prompt for item in requests(four, dataset)} == {
        "nevus, red, 60 to 74 years, female, back, Fitzpatrick II, light skin tone"
    }


def test_the_subgroups_of_a_balance_are_named_only_where_enough_patients_share_them(tmp_path):
    dataset = _patients(tmp_path / "set", {}, {}, {}, {}, {}, {"site": "scalp"})
    drawn = requests(SampleConfig(plan="balance", balance_by=("site",)), dataset)
    assert len(drawn) == 16 and {item.caption_of[0] for item in drawn} == {"5"}
    assert {item.prompt for item in drawn} == {"nevus, red, 60 to 74 years, female, Fitzpatrick II, light skin tone"}
