"""What a plan says to draw: how many of which diagnosis and subgroup, and which plans are refused."""

from collections import Counter

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset
from lesiongen.diffusion.families.sampler_names import SAMPLERS
from lesiongen.diffusion.families.supported import FAMILIES
from lesiongen.diffusion.sampling.config import PlanEntry, SampleConfig
from lesiongen.diffusion.sampling.plan import batches, requests
from lesiongen.errors import DataError, UsageError

from .conftest import build_dataset


def test_captions_come_from_the_training_images_alone(tmp_path):
    uri = build_dataset(tmp_path / "set", {"train": 5, "test": 50})
    found = requests(SampleConfig(per_class=40), Dataset.open(uri))
    assert {item.caption_of.split("-")[0] for item in found} == {"train"}


def test_a_plan_says_how_many_of_what(dataset_uri):
    dataset = Dataset.open(dataset_uri)  # nv 6, mel 2, df 2
    chosen = requests(SampleConfig(plan={"mel": 3, "df": 0, "nv": 1}), dataset)
    assert [item.diagnosis for item in chosen] == ["mel", "mel", "mel", "nv"]
    assert [item.index for item in chosen] == [0, 1, 2, 3]
    balanced = [item.diagnosis for item in requests(SampleConfig(plan="balance"), dataset)]
    assert balanced == ["df"] * 4 + ["mel"] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"plan": {"mel": 1}, "per_class": 9}, "per_class = 9 has no effect with a plan"),
        ({"plan": "balance", "per_class": 9}, "per_class = 9 has no effect with a plan"),
        ({"balance_by": ["sex"]}, r"balance_by = \('sex',\) has no effect without plan = balance"),
        ({"plan": {"mel": 1}, "balance_by": ["sex"]}, r"balance_by = .* has no effect without plan = balance"),
        (
            {"captions": "reference", "min_patients_per_prompt": 9},
            "min_patients_per_prompt = 9 has no effect with captions = reference",
        ),
        (
            {"negative_prompt": "blurred", "guidance_scale": 1},
            "negative_prompt = 'blurred' has no effect with guidance_scale = 1",
        ),
        (
            {"negative_prompt": "blurred", "plan": [{"diagnosis": "mel", "count": 1, "guidance_scale": 1}]},
            "negative_prompt = 'blurred' has no effect with guidance_scale = 1",
        ),
        (
            {"scheduler": "eulr"},
            r"scheduler = 'eulr': unknown sampler; samplers are dpmsolver\+\+, ddim, euler$",
        ),
    ],
)
def test_what_has_no_effect_or_is_unknown_is_refused(values, message):
    with pytest.raises(UsageError, match=f"^SampleConfig: {message}"):
        parse_config(SampleConfig, values)


def test_a_negative_prompt_has_an_effect_where_one_entry_is_guided():
    plan = [{"diagnosis": "mel", "count": 1, "guidance_scale": [1, 3]}, {"diagnosis": "nv", "count": 1}]
    config = parse_config(SampleConfig, {"negative_prompt": "blurred", "guidance_scale": 1, "plan": plan})
    assert parse_config(SampleConfig, config.model_dump(mode="json")) == config


def test_every_sampler_of_a_family_can_be_asked_for():
    names = {name for family in FAMILIES for name in family.noise_process_type.sampler_names}
    assert names == set(SAMPLERS)


def test_reference_prompts_need_no_dataset():
    found = requests(SampleConfig(per_class=20, captions="reference"), None)
    assert len(found) == 140
    melanoma = {item.prompt for item in found if item.diagnosis == "mel"}
    assert melanoma == {
        "melanoma small size on a dark skin tone",
        "melanoma large size on a light skin tone",
        "melanoma medium size on a medium skin tone",
    }


def test_a_diagnosis_of_the_plan_may_be_spelt_as_collections_spell_it(dataset_uri):
    found = requests(SampleConfig(plan={"Nevus": 2, "melanoma": 1}), Dataset.open(dataset_uri))
    assert [item.diagnosis for item in found] == ["mel", "nv", "nv"]
    assert requests(SampleConfig(plan={"nv": 2, "mel": 1}), Dataset.open(dataset_uri)) == found


def test_plans_that_cannot_be_met_are_refused(dataset_uri, tmp_path):
    dataset = Dataset.open(dataset_uri)
    with pytest.raises(
        UsageError, match=r"(?s)no training images of the diagnosis 'mell'.*Did you mean mel\? Known: df, mel, nv"
    ):
        requests(SampleConfig(plan={"mell": 1}), dataset)
    for config in (SampleConfig(), SampleConfig(plan="balance", captions="reference")):
        with pytest.raises(UsageError, match="needs a dataset"):
            requests(config, None)
    uncaptioned = Dataset.open(build_dataset(tmp_path / "set", {"train": 5}, caption=None))
    with pytest.raises(DataError, match="No training image of 'df' has a caption"):
        requests(SampleConfig(), uncaptioned)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("mel: -1\nnv: 2", "plan.yaml, mel: count = -1: must be a whole number, 0 or more"),
        ("mel: 0", "plan.yaml: every count is 0"),
        ("", "plan.yaml = None: invalid plan"),
        ("[nv]", "plan.yaml, entry 1: invalid entry 'nv'"),
        ("- {diagnosis: nv}", "plan.yaml, entry 1: count is missing"),
        (
            "- {diagnosis: nv, count: 1}\n- {diagnosis: mel, count: 1, cuont: 3}",
            "plan.yaml, entry 2: unknown field cuont\nDid you mean count? Known fields: count, diagnosis",
        ),
        (
            "- {diagnosis: nv, count: ten, guidance_scale: [0.5]}",
            "plan.yaml, entry 1: count = 'ten': must be a whole number, 0 or more; "
            "guidance_scale = [0.5]: must be a number of at least 1, or a list of such numbers",
        ),
        (
            "- {diagnosis: nv, count: 1, where: {tone: dark}}",
            "plan.yaml, entry 1: where = {'tone': 'dark'}: must be a text for one or several of sex, ",
        ),
    ],
)
def test_a_mistake_in_a_plan_is_told_with_its_place_and_what_is_allowed(tmp_path, monkeypatch, plan, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(plan)
    with pytest.raises(UsageError) as refused:
        CliRunner().invoke(app, ["sample", "m", "--output", "o", "--plan", "plan.yaml"], catch_exceptions=False)
    assert str(refused.value).startswith(message)


def test_a_plan_that_is_neither_a_file_nor_balance_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"(?s)--plan balanse: no such file.*write balance"):
        CliRunner().invoke(app, ["sample", "m", "--output", "o", "--plan", "balanse"], catch_exceptions=False)
    with pytest.raises(UsageError, match="plan = 'balanse': invalid plan"):
        parse_config(SampleConfig, {"plan": "balanse"})


def test_reference_prompts_of_subgroups_are_refused(dataset_uri):
    dataset = Dataset.open(dataset_uri)
    entry = PlanEntry(diagnosis="nv", count=1, where={"measured_tone": "dark"})
    with pytest.raises(UsageError, match="captions = reference: where would be without effect"):
        requests(SampleConfig(plan=(entry,), captions="reference"), dataset)
    filling = SampleConfig(plan="balance", balance_by=("measured_tone",), captions="reference")
    with pytest.raises(UsageError, match="captions = reference: balance_by would be without effect"):
        requests(filling, dataset)
    with pytest.raises(DataError, match="has measured_tone = 'dark'") as error:
        requests(SampleConfig(plan=(entry,)), dataset)
    assert "captions = reference" not in error.value.hint


def test_a_plan_names_subgroups_and_settings(tmp_path):
    uri = build_dataset(tmp_path / "set", {"train": 12}, tones=("dark", "light", "light"))
    dataset = Dataset.open(uri)
    tones = dataset.metadata(["image_id", "measured_tone"]).set_index("image_id")["measured_tone"]
    entry = PlanEntry(
        diagnosis="nv", count=8, where={"measured_tone": "dark"}, guidance_scale=(1.5, 3.0), num_inference_steps=7
    )
    found = requests(SampleConfig(plan=(entry,)), dataset)
    assert {tones[item.caption_of] for item in found} == {"dark"}
    assert {item.guidance_scale for item in found} == {1.5, 3.0}
    assert {item.steps for item in found} == {7}
    with pytest.raises(
        DataError, match=r"No training image of 'nv' .* measured_tone = 'brown'\nThere are: light \(5\), dark"
    ):
        requests(SampleConfig(plan=(PlanEntry(diagnosis="nv", count=1, where={"measured_tone": "brown"}),)), dataset)


def test_a_diagnosis_without_training_images_is_told_and_not_drawn(tmp_path, caplog):
    dataset = Dataset.open(build_dataset(tmp_path / "set", {"train": 3, "test": 5}))
    assert {item.diagnosis for item in requests(SampleConfig(), dataset)} == {"mel", "nv"}
    assert caplog.messages == ["No training image shows df: none is drawn"]


def test_balance_fills_the_subgroups_that_lack_images(tmp_path):
    uri = build_dataset(tmp_path / "set", {"train": 12}, tones=("dark", "light", "light"))
    dataset = Dataset.open(uri)
    table = dataset.metadata(["image_id", "diagnosis", "measured_tone"])
    drawn = requests(SampleConfig(plan="balance", balance_by=("measured_tone",)), dataset)
    tones = table.set_index("image_id")["measured_tone"]
    together = Counter(zip(table["diagnosis"], table["measured_tone"], strict=True))
    together.update((item.diagnosis, tones[item.caption_of]) for item in drawn)
    assert len(set(together.values())) == 1


def test_batches_share_what_a_pipeline_takes_once():
    config = SampleConfig(per_class=9, captions="reference", guidance_scale=(1.0, 2.0), num_inference_steps=(3, 4))
    wanted = requests(config, None)
    planned = batches(wanted, 5)
    assert sorted((item for batch in planned for item in batch), key=lambda item: item.index) == wanted
    assert all(len({(item.guidance_scale, item.steps) for item in batch}) == 1 for batch in planned)
    assert max(map(len, planned)) == 5
