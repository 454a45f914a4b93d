"""What captions state can be read back from them."""

import numpy as np
import pytest

from lesiongen.concepts import Entry, Report, compose, label_only, reference_prompts
from lesiongen.concepts.demographics import with_facts
from lesiongen.concepts.stated import stated_words
from lesiongen.concepts.tokenizer import build_tokenizer
from lesiongen.concepts.vocabulary import TONES, VOCABULARIES
from lesiongen.concepts.wording import tone_word

SEVERAL = {"colour": 4, "texture": 3, "patterns": 4, "elevation": 2, "additional": 3}
BORDERS = (
    ("smooth border",),
    ("irregular border", "sharp border"),
    ("blurred border",),
    ("smooth border", "blurred border"),
)


def drawn_report(rng: np.random.Generator) -> Report:
    entries = {}
    for name, vocabulary in VOCABULARIES.items():
        words = tuple(map(str, rng.choice(vocabulary, int(rng.integers(1, SEVERAL.get(name, 1) + 1)), replace=False)))
        if name == "border":
            words = BORDERS[int(rng.integers(len(BORDERS)))]
        source = "measured" if name == "skin_tone" and words[0] in TONES else "expert"
        if rng.random() < 0.7:
            entries[name] = Entry(value=words, source=source)
    return Report(patient=Entry(value=("65 years", "male", "back"), source="metadata"), **entries)


def test_every_word_of_a_composed_caption_is_read_back():
    rng, tokenizers = np.random.default_rng(0), [build_tokenizer()]
    for _ in range(150):
        report = drawn_report(rng)
        caption = compose(report, "mel", tokenizers, 1000, rng).text
        said = {name: set(entry.value) for name, entry in report.entries() if name != "patient"}
        if report.skin_tone:
            said["skin_tone"] = {tone_word(report.skin_tone.value[0])}
        assert {name: set(words) for name, words in stated_words(caption).items()} == said, caption


def test_a_prompt_that_says_less_of_the_patient_states_the_same_of_the_lesion():
    caption = "melanoma; red and black; large, oval, symmetric; back, male, 60 to 74 years; on a tan skin tone"
    prompt = with_facts(caption, {}, name="melanoma", site="back")
    assert "tan" not in prompt
    assert {**stated_words(prompt), "skin_tone": ("tan",)} == stated_words(caption)


@pytest.mark.parametrize(
    "caption", [label_only("mel"), "melanoma", "", "actinic keratosis, male, back, under 30 years"]
)
def test_a_caption_of_the_diagnosis_alone_states_nothing(caption):
    assert stated_words(caption) == {}


def test_the_prompts_of_the_reference_method_state_size_and_tone():
    assert [stated_words(prompt) for prompt in reference_prompts("mel")] == [
        {"size": ("small",), "skin_tone": ("dark",)},
        {"size": ("large",), "skin_tone": ("light",)},
        {"size": ("medium",), "skin_tone": ("medium",)},
    ]
