"""The tokenizers of a base model, which may have two text encoders."""

import pytest

from lesiongen.captions.tokenizers import load_tokenizers, token_budget
from lesiongen.concepts.tokenizer import MAX_TOKENS, build_tokenizer
from lesiongen.errors import UsageError
from lesiongen.storage import open_storage


def _save(folder, limit=MAX_TOKENS):
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = limit
    tokenizer.save_pretrained(folder)


@pytest.fixture
def pipeline(tmp_path):
    _save(tmp_path / "model" / "tokenizer")
    _save(tmp_path / "model" / "tokenizer_2", limit=30)
    return tmp_path / "model"


def test_a_pipeline_with_two_text_encoders_gives_two_tokenizers_and_the_smaller_budget(pipeline):
    both = load_tokenizers(str(pipeline))
    assert [tokenizer.model_max_length for tokenizer in both] == [MAX_TOKENS, 30]
    assert token_budget(both, None) == 30
    with pytest.raises(UsageError, match="at most 30"):
        token_budget(both, 31)


def test_a_tokenizer_itself_is_one(pipeline):
    for place in (pipeline / "tokenizer", "tiny"):
        (only,) = load_tokenizers(str(place))
        assert only.model_max_length == MAX_TOKENS


def test_both_are_fetched_from_s3(pipeline, s3_root):
    open_storage(s3_root).child("model").upload_folder(pipeline)
    assert len(load_tokenizers(f"{s3_root}/model")) == 2
    assert len(load_tokenizers(f"{s3_root}/model/tokenizer_2")) == 1


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_tokenizers(str(tmp_path))
