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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_model": {"base": "\udcff"}}, r"base_model.base = '\udcff' is not UTF-8"),
        (
            {"adaptation": {"method": "lora", "target_modules": ["to_q", "\udcff"]}},
            r"adaptation.target_modules.1 = '\udcff' is not UTF-8",
        ),
        ({"data": {"\udcff": 1}}, r"data = '\udcff' is not UTF-8"),
        ({"\udcff": 1}, r"field '\udcff' is not UTF-8"),
    ],
)
def test_a_text_in_another_encoding_is_refused_wherever_it_is(values, message):
    assert refusal(FinetuneConfig, **values) == f"FinetuneConfig: {message}\nWrite it in UTF-8."


def test_a_short_unknown_name_is_told_whole():
    assert refusal(FinetuneConfig, adaptation={"method": "lora", "n": 1}).startswith(
        "FinetuneConfig: unknown field adaptation.n\n"
    )


def test_an_old_name_within_a_part_is_refused_with_the_new_one():
    assert (
        refusal(FinetuneConfig, optimisation={"steps": 1})
        == "FinetuneConfig: unknown field optimisation.steps; it is now called max_train_steps"
    )
    message = refusal(FinetuneConfig, data={"alpha": 1})
    assert message.endswith("unknown field data.alpha; it is now called lora_alpha\nWrite it within adaptation.")
    message = refusal(FinetuneConfig, base_model={"vae_steps": 1})
    assert message.endswith("unknown field base_model.vae_steps\nWrite it within base_model.tiny_base.")
