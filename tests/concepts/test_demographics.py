"""What captions say of the patient: ages as bands, facts found and taken out clause by clause."""

import numpy as np
import pytest

from lesiongen.concepts import Description, Entry, Report, compose, vocabulary
from lesiongen.concepts.ages import with_age_bands
from lesiongen.concepts.demographics import facts_stated, known_facts, with_facts
from lesiongen.concepts.wording import LEADS, PATTERNS_OF
from lesiongen.dataset import DIAGNOSES


@pytest.mark.parametrize(
    ("text", "banded"),
    [
        ("80 years", "75 to 89 years"),
        ("melanoma. male, 93 years. red", "melanoma. male, 90 years and over. red"),
        ("An 80-year-old man", "An 75 to 89 years old man"),
        ("an 8-month-old child", "an under 30 years old child"),
        ("aged 91, itchy", "90 years and over, itchy"),
        ("60 y/o", "60 to 74 years"),
        ("It has been there for 20 years.", "It has been there for 20 years."),
        ("a lesion, 20 years in place", "a lesion, 20 years in place"),
        ("90 years and over", "90 years and over"),
        ("aged 75 to 89 years", "aged 75 to 89 years"),
    ],
)
def test_ages_become_bands_and_durations_stay(text, banded):
    assert with_age_bands(text) == banded
    assert with_age_bands(banded) == banded


def _entry(*words, source="metadata"):
    return Entry(value=words, source=source, evidence={"number": 1.0} if source == "measured" else {})


def _caption(seed, tone, site, age=93, **further):
    report = Report(
        patient=_entry(f"{age} years", "male", site), skin_tone=tone, size=_entry("small", source="measured"),
        colour=_entry("red", "black", source="expert"), texture=_entry("scaly", source="expert"), **further,
    )  # fmt: skip
    return compose(report, "mel", [lambda text, **_: {"input_ids": text.split()}], 77, np.random.default_rng(seed)).text


@pytest.mark.parametrize("site", ["back", "lower extremity", "head/neck", "left cheek"])
@pytest.mark.parametrize("tone", [_entry("Fitzpatrick I-II"), _entry("dark", source="measured")])
def test_every_wording_of_a_fact_is_found_and_can_be_taken_out(site, tone):
    recorded = tone.value[0] if tone.source == "metadata" else None
    known = known_facts(age=93, sex="male", site=site, skin_type=recorded, measured_tone="dark")
    for seed in range(150):
        caption = _caption(seed, tone, site)
        stated = facts_stated(caption, site)
        # The reference's prompts name a tone and no type.
        assert known | stated == known and set(known) - set(stated) <= {"skin_type"}
        assert with_facts(caption, known, name="melanoma", site=site) == caption
        bare = with_facts(caption, {}, name="melanoma", site=site)
        assert not any(word in bare for word in ("year", "male", "Fitz", "tone", "dark", " on ", site)), bare
        assert all(word in bare for word in ("melanoma", "small", "red and black", "scaly")), bare


def test_what_is_said_of_a_lesion_is_not_taken_for_a_fact():
    texts = [text for name, words in vocabulary.VOCABULARIES.items() if name != "skin_tone" for word in words
             for text in PATTERNS_OF[name]((word,))]  # fmt: skip
    for diagnosis in DIAGNOSES.values():
        for name in (diagnosis.name, diagnosis.phrase):
            for lead in LEADS:
                caption = ", ".join([lead.format(name), *texts])
                assert with_facts(caption, {}, name="?") == caption


@pytest.mark.parametrize(
    ("caption", "bare"),
    [
        ("melanoma, 80 years, male, upper extremity, Fitzpatrick III", "melanoma"),
        ("melanoma. A patch on her left cheek. It has grown. An elderly woman; scaly", "melanoma. It has grown. scaly"),
        ("80-year-old male with a tumour, red", "melanoma, red"),
        ("melanoma, Wange, red", "melanoma, red"),
    ],
)
def test_captions_of_others_and_of_older_versions_lose_what_speaks_of_a_person(caption, bare):
    assert with_facts(caption, {}, name="melanoma", site="wange") == bare


def test_free_text_of_an_expert_states_no_year_of_age():
    told = Description(text="A 93-year-old farmer. It itches.", source="expert")
    caption = _caption(0, None, "back", age=45, description=told)
    assert "93" not in caption and "90 years and over old farmer" in caption
