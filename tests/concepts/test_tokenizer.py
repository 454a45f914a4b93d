import pytest

from lesiongen.concepts.text import composer_vocabulary, reference_prompts
from lesiongen.concepts.tokenizer import MAX_TOKENS, build_tokenizer
from lesiongen.dataset.taxonomy import DIAGNOSES


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_every_word_of_the_composer_is_one_token(tokenizer):
    for word in sorted(composer_vocabulary()):
        letters = len(word) if word.isdigit() else 1
        assert len(tokenizer(word).input_ids) == letters + 2, word


@pytest.mark.parametrize("text", ["xanthogranuloma, Spitz nævus", "日本 💡", "", "\x00 <b>&amp;</b>"])
def test_any_text_encodes_without_an_unknown_token(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_case_does_not_matter_and_decoding_gives_the_words_back(tokenizer):
    ids = tokenizer("Melanoma, IRREGULAR border").input_ids
    assert ids == tokenizer("melanoma, irregular border").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "melanoma , irregular border"


def test_the_reference_prompts_fit(tokenizer):
    prompts = [prompt for code in DIAGNOSES for prompt in reference_prompts(code)]
    assert max(len(ids) for ids in tokenizer(prompts).input_ids) <= tokenizer.model_max_length == MAX_TOKENS


def test_saved_and_loaded_by_transformers_it_is_the_same(tokenizer, tmp_path):
    from transformers import AutoTokenizer, CLIPTokenizer

    tokenizer.save_pretrained(tmp_path)
    text = "dermatology image of actinic keratosis, Bowen's disease, 65 years"
    for kind in (AutoTokenizer, CLIPTokenizer):
        loaded = kind.from_pretrained(tmp_path)
        assert loaded(text).input_ids == tokenizer(text).input_ids == build_tokenizer()(text).input_ids
        assert loaded.model_max_length == MAX_TOKENS
