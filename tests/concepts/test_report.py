"""The report and the captions composed from it."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from lesiongen.concepts import (
    ENTRIES,
    Entry,
    Report,
    compose,
    composer_vocabulary,
    count_tokens,
    described,
    label_only,
    read_report,
    reference_prompts,
    vocabulary,
)
from lesiongen.concepts.ages import with_age_bands
from lesiongen.concepts.text import IMPORTANCE
from lesiongen.concepts.wording import PATTERNS_OF
from lesiongen.dataset import DIAGNOSES
from lesiongen.errors import DataError, UsageError


class WordTokenizer:
    """One token a word or sign, and two special ones."""

    def __call__(self, text, /, **options):
        assert options.get("truncation") is False
        return {"input_ids": [0, *re.findall(r"[^\s,.;]+|[,.;]", text), 1]}


WORDS = (WordTokenizer(),)


def _entry(*value, source="measured", **evidence):
    return Entry(value=value, source=source, evidence=evidence)


FULL = Report(
    patient=_entry("65 years", "male", "back", source="metadata", age=65),
    colour=_entry("light brown", "black", **{"light brown": 0.7, "black": 0.3}),
    colour_variability=_entry("two colours", colours=2),
    shape=_entry("oval", elongation=1.4),
    shape_variability=_entry("asymmetric in one axis", larger=0.3, smaller=0.1),
    size=_entry("large", area_share=0.4),
    border=_entry("irregular border", "sharp border"),
    texture=_entry("scaly", source="expert"),
    patterns=_entry("atypical network", "blue-white veil", source="expert", streaks=0),
    elevation=_entry("flat", source="expert"),
    skin_tone=_entry("Fitzpatrick III", source="metadata"),
    additional=_entry("telangiectasia", source="expert"),
)


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_a_report_survives_its_column():
    assert read_report(FULL.to_text()) == FULL
    assert [name for name, _ in FULL.entries()] == list(ENTRIES)
    assert read_report(None) == read_report("{}") == Report()


def test_dermoscopic_features_become_an_experts_patterns():
    report = read_report('{"pigment_network": 1, "streaks": 0, "milia_like_cyst": 1, "globules": null}')
    assert report.patterns == _entry(
        "network", "milia-like cysts", source="expert", network=1, streaks=0, **{"milia-like cysts": 1}
    )


@pytest.mark.parametrize(
    "text", ["not json", "[1]", '{"colour": {"value": ["red"], "source": "guess"}}', '{"shininess": 1}', '"red"']
)
def test_what_is_no_report_is_named(text):
    with pytest.raises(DataError, match="invalid report"):
        read_report(text)


@pytest.mark.parametrize("word", ["", "  ", "two\nlines", "x" * 81])
def test_an_entry_holds_short_phrases(word):
    with pytest.raises(ValidationError, match="short phrase"):
        Entry(value=(word,), source="expert")


def _said(report, seeds=range(40), budget=200, **changes):
    return [compose(report.model_copy(update=changes), "mel", WORDS, budget, _rng(seed)) for seed in seeds]


def test_a_caption_states_every_entry_and_begins_with_the_diagnosis():
    for composed in _said(FULL):
        assert composed.dropped == () and composed.shortened == {}
        assert "melanoma" in re.split("[,.;]", composed.text)[0]
        for words in ("atypical network and blue-white veil", "light brown and black", "medium skin", "large",
                      "60 to 74 years", "back", "irregular", "sharp", "scaly", "flat", "telangiectasia"):  # fmt: skip
            assert words in composed.text
        assert composed.tokens == count_tokens(WORDS, composed.text)
        assert "streaks" not in composed.text, "a finding that is absent is not stated"


def test_some_captions_begin_as_the_references_prompts():
    starts = [composed.text.startswith("melanoma large size on a medium skin tone") for composed in _said(FULL)]
    assert 3 <= sum(starts) <= 15


@pytest.mark.parametrize("budget", range(4, 60, 3))
def test_the_least_important_entries_are_dropped_first_and_recorded(budget):
    composed = compose(FULL, "mel", WORDS, budget, _rng(budget))
    assert composed.tokens <= budget
    assert "melanoma" in composed.text
    lost = [name for name in reversed(IMPORTANCE) if name in composed.shortened]
    present = [name for name in reversed(IMPORTANCE) if getattr(FULL, name) is not None]
    assert lost == present[: len(lost)], "entry by entry"
    assert composed.dropped in (tuple(lost), tuple(lost[:-1])), "at most the last one in part"
    for name, words in composed.shortened.items():
        left = [word for word in getattr(FULL, name).value if word not in words]
        assert all(with_age_bands(word).removesuffix(" border") in composed.text for word in left)
        assert bool(left) == (name not in composed.dropped)


def test_within_an_entry_the_least_important_word_goes_first():
    report = Report(patient=_entry("65 years", "male", "back", source="metadata"))
    lost = {}
    for budget in range(3, 12):
        composed = compose(report, "mel", WORDS, budget, _rng(2))
        lost[len(composed.shortened.get("patient", ()))] = composed.shortened.get("patient")
    assert lost[1] == ("male",) and lost[2] == ("male", "65 years")


def test_a_caption_fits_all_text_encoders():
    class LetterTokenizer:
        def __call__(self, text, /, **options):
            return {"input_ids": [0, *text, 1]}

    both = compose(FULL, "mel", [*WORDS, LetterTokenizer()], 60, _rng())
    assert both.tokens == len(both.text) + 2 <= 60
    assert compose(FULL, "mel", [LetterTokenizer(), *WORDS], 60, _rng()) == both


def test_free_text_comes_in_as_far_as_it_fits():
    report = described(FULL.model_copy(update={"patient": None}), "A red papule, on the arm; with scale. It itches.")
    whole = compose(report, "mel", WORDS, 100, _rng())
    assert whole.text.endswith("A red papule, on the arm, with scale, It itches")
    less = compose(report, "mel", WORDS, whole.tokens - 4, _rng())
    assert less.text.endswith("A red papule, on the arm, with scale")
    assert less.shortened == {"description": ("It itches",)} and less.dropped == ()


def test_a_budget_too_small_for_the_diagnosis_is_refused():
    with pytest.raises(UsageError, match="'basal cell carcinoma'"):
        compose(FULL, "bcc", WORDS, 4, _rng())


def test_wordings_vary_by_the_stream_alone():
    texts = {compose(FULL, "nv", WORDS, 77, _rng(seed)).text for seed in range(100)}
    assert len(texts) == 100
    assert compose(FULL, "nv", WORDS, 77, _rng(5)) == compose(FULL, "nv", WORDS, 77, _rng(5))


def test_no_noun_stands_twice_that_only_carries_a_word():
    report = Report(
        colour=Entry(value=("red", "light brown"), source="measured", evidence={"red": 0.7, "light brown": 0.3}),
        colour_variability=Entry(value=("two colours",), source="measured", evidence={"colours": 2}),
        shape=Entry(value=("oval",), source="measured", evidence={"elongation": 1.5}),
        shape_variability=Entry(value=("symmetric",), source="measured", evidence={"larger": 0.1}),
        size=Entry(value=("medium",), source="measured", evidence={"area_share": 0.2}),
    )
    for diagnosis in ("vasc", "nv"):
        for seed in range(60):
            text = compose(report, diagnosis, WORDS, 77, _rng(seed)).text
            for noun in ("colour", "shape", "lesion", "size"):
                assert text.count(noun) <= 1, text
            assert "medium" in text and "medium," not in text.replace("medium size", "").replace("medium lesion", "")


def test_even_a_bare_report_is_worded_in_several_ways():
    report = Report(size=_entry("small", area_share=0.1))
    assert len({compose(report, "nv", WORDS, 77, _rng(seed)).text for seed in range(100)}) > 20


def test_an_unknown_label_stands_for_itself_and_a_bare_report_is_captioned():
    assert "pyoderma" in compose(Report(), "pyoderma", WORDS, 20, _rng()).text
    assert compose(Report(), None, WORDS, 20, _rng()).text == "skin lesion"


def test_the_references_own_texts():
    assert label_only("mel") == "a high quality image of melanoma skin lesion"
    assert reference_prompts("df") == (
        "dermatofibroma small size on a dark skin tone",
        "dermatofibroma large size on a light skin tone",
        "dermatofibroma medium size on a medium skin tone",
    )


def test_the_tiny_tokenizer_knows_the_words_of_every_caption():
    from lesiongen.concepts.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    known = composer_vocabulary()
    for diagnosis in DIAGNOSES:
        for seed in range(10):
            text = compose(FULL, diagnosis, [tokenizer], tokenizer.model_max_length, _rng(seed)).text
            assert set(re.findall(r"[a-z]+", text.lower())) <= known
            assert count_tokens([tokenizer], text) <= tokenizer.model_max_length


def test_every_word_of_the_vocabulary_can_be_worded():
    assert set(PATTERNS_OF) == set(IMPORTANCE) == {*ENTRIES, "description"}
    for name, words in vocabulary.VOCABULARIES.items():
        for word in words:
            texts = PATTERNS_OF[name]((word,))
            assert len(texts) == len(set(texts)) > 1 and all(text.strip() for text in texts)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("papule", "dome-shaped"), "dome-shaped papule"),
        (("flat",), "flat"),
        (("macule", "patch"), "macule and patch"),
    ],
)
def test_profiles_and_their_nouns(words, text):
    assert PATTERNS_OF["elevation"](words)[0] == text


def test_a_recorded_type_keeps_its_name_in_the_caption():
    assert all("Fitzpatrick type V" in text and "brown skin" in text
               for text in PATTERNS_OF["skin_tone"](("Fitzpatrick V",)) if "tone" not in text)  # fmt: skip
    assert all("Fitzpatrick" not in text for text in PATTERNS_OF["skin_tone"](("brown",)))
