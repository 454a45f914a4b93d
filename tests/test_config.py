"""What is said of a configuration that is refused."""

import pytest

from lesiongen.captions import CaptionConfig
from lesiongen.config import parse_config
from lesiongen.diffusion.config import FinetuneConfig
from lesiongen.errors import UsageError
from lesiongen.ingestion import IngestConfig


def refusal(kind, **values):
    with pytest.raises(UsageError) as caught:
        parse_config(kind, values)
    return str(caught.value)


def test_a_wrong_value_is_told_without_a_list_of_fields():
    message = refusal(IngestConfig, format="ham1000")
    assert message.startswith("IngestConfig: format = 'ham1000': unknown format; formats are ham10000, isic, ")
    assert "fields" not in message
    assert "fields" not in refusal(CaptionConfig, writers=["measure"])


@pytest.mark.parametrize("value", [["ham10000"], {"ham10000": 1}, 7])
def test_a_format_that_is_no_text_is_refused(value):
    assert "unknown format; formats are" in refusal(IngestConfig, format=value)


def test_a_missing_field_is_named_alone():
    assert refusal(IngestConfig, seed=1) == "IngestConfig: format is missing"


def test_an_unknown_field_is_named_with_the_nearest_and_all_that_there_are():
    first, second = refusal(IngestConfig, format="isic", limits=3).splitlines()
    assert first == "IngestConfig: unknown field limits"
    assert second.startswith("Did you mean limit? Known fields: attribution, columns, format, ")
    assert "Did you mean" not in refusal(IngestConfig, format="isic", zzz=3)


def test_of_a_field_within_a_field_its_own_neighbours_are_told():
    seen = {"model": "seer", "timeot": 3}
    message = refusal(CaptionConfig, writers=["vision-language"], vision_language=seen)
    assert "CaptionConfig: unknown field vision_language.timeot" in message
    assert "Did you mean timeout? Known fields: allow_upload, " in message
    assert "tokenizer" not in message


def test_of_fields_that_do_not_fit_together_only_our_words_are_told():
    message = refusal(FinetuneConfig, optimisation={"max_train_steps": 20, "warmup_steps": 500})
    assert message == "FinetuneConfig: warmup_steps = 500 leaves nothing of max_train_steps = 20: set it lower"


def test_a_text_in_another_encoding_is_refused():
    with pytest.raises(UsageError, match=r"name = 'W\\udcfcrz' is not UTF-8"):
        parse_config(FinetuneConfig, {"name": b"W\xfcrz".decode("utf-8", "surrogateescape")})
