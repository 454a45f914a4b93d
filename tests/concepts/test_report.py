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
    label_only,
    read_report,
    reference_prompts,
    vocabulary,
)
from lesiongen.concepts.text import IMPORTANCE, WORDINGS
from lesiongen.dataset import DIAGNOSES
from lesiongen.errors import DataError, UsageError


class WordTokenizer:
    """One token a word or sign, and two special ones."""

    def __call__(self, text, /, **options):
        assert options.get("truncation") is False
        return {"input_ids": [0, *text.replace(",", " ,").split(), 1]}


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
    with pytest.raises(DataError, match="is no report"):
        read_report(text)


@pytest.mark.parametrize("word", ["", "  ", "two\nlines", "x" * 81])
def test_an_entry_holds_short_phrases(word):
    with pytest.raises(ValidationError, match="short phrase"):
        Entry(value=(word,), source="expert")


def test_a_caption_states_every_entry_and_begins_with_the_diagnosis():
    composed = compose(FULL, "mel", WordTokenizer(), 77, _rng())
    assert composed.dropped == ()
    assert "melanoma" in composed.text.split(",")[0]
    for words in (
        "atypical network and blue-white veil",
        "light brown and black",
        "Fitzpatrick III skin",
        "large",
        "65 years",
    ):
        assert words in composed.text
    assert composed.tokens == count_tokens(WordTokenizer(), composed.text)
    assert "streaks" not in composed.text, "a finding that is absent is not stated"


@pytest.mark.parametrize("budget", range(4, 50, 3))
def test_the_least_important_entries_are_dropped_first_and_recorded(budget):
    composed = compose(FULL, "mel", WordTokenizer(), budget, _rng(budget))
    assert composed.tokens <= budget
    assert "melanoma" in composed.text
    assert composed.dropped == tuple(reversed(IMPORTANCE))[: len(composed.dropped)]
    full = compose(FULL, "mel", WordTokenizer(), 77, _rng(budget))
    assert len(composed.dropped) < len(full.text.split(",")), "nothing is lost silently"


def test_a_budget_too_small_for_the_diagnosis_is_refused():
    with pytest.raises(UsageError, match="'basal cell carcinoma'"):
        compose(FULL, "bcc", WordTokenizer(), 4, _rng())


def test_wordings_vary_by_the_stream_alone():
    texts = {compose(FULL, "nv", WordTokenizer(), 77, _rng(seed)).text for seed in range(30)}
    assert len(texts) > 15
    assert compose(FULL, "nv", WordTokenizer(), 77, _rng(5)) == compose(FULL, "nv", WordTokenizer(), 77, _rng(5))


def test_an_unknown_label_stands_for_itself_and_a_bare_report_is_captioned():
    assert "pyoderma" in compose(Report(), "pyoderma", WordTokenizer(), 20, _rng()).text
    assert compose(Report(), None, WordTokenizer(), 20, _rng()).text == "skin lesion"


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
            text = compose(FULL, diagnosis, tokenizer, tokenizer.model_max_length, _rng(seed)).text
            assert set(re.findall(r"[a-z]+", text.lower())) <= known
            assert count_tokens(tokenizer, text) <= tokenizer.model_max_length


def test_every_word_of_the_vocabulary_can_be_worded():
    assert set(WORDINGS) == set(IMPORTANCE) == set(ENTRIES)
    for name, values in {"skin_tone": vocabulary.TONES, "size": vocabulary.SIZES, "border": vocabulary.BORDERS}.items():
        for value in values:
            assert all(text.strip() for text in WORDINGS[name]((value,)))
