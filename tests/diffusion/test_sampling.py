import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lesiongen.captions import CaptionConfig, caption
from lesiongen.cli.app import app
from lesiongen.dataset import TONE_CLASSES, Dataset
from lesiongen.diffusion.generator import Generator, load_generator
from lesiongen.diffusion.model_folder import BaseReference, model_version, write_manifest
from lesiongen.diffusion.plan import requests
from lesiongen.diffusion.sample_config import SampleConfig
from lesiongen.diffusion.sampling import sample
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import decode
from lesiongen.phantoms import PhantomConfig, draw_concepts, render

from .conftest import SIZE, build_dataset

# diffusers' DPMSolverMultistepScheduler.set_timesteps hands a torch tensor to numpy.array.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

CONFIG = SampleConfig(per_class=2, steps=2, image_size=SIZE, batch_size=4)


def _images(uri):
    return {item.image_id: item.image for item in Dataset.open(uri).samples()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, pipeline_folder, dataset_uri):
    return sample(CONFIG, str(pipeline_folder), str(tmp_path_factory.mktemp("drawn") / "set"), dataset=dataset_uri)


def test_it_publishes_a_training_set_that_says_how_it_was_made(drawn, pipeline_folder, dataset_uri):
    assert drawn.dataset.splits == {"train": 6, "validation": 0, "test": 0}
    assert drawn.dataset.classes == {"df": 2, "mel": 2, "nv": 2}
    captions = Dataset.open(dataset_uri).metadata(["image_id", "caption"], split="train").set_index("image_id")
    for item in Dataset.open(drawn.dataset.uri).samples():
        provenance = json.loads(item.provenance)
        assert item.source == "lesiongen"
        assert provenance["image_manipulation"] == "synthetic"
        assert provenance["model_version"] == model_version(pipeline_folder)
        assert provenance["prompt"] == item.caption == captions.caption[provenance["caption_of"]]
        assert {"seed", "index", "guidance_scale", "steps", "scheduler", "negative_prompt"} < set(provenance)
        with Image.open(BytesIO(item.image)) as picture:
            assert picture.size == (SIZE, SIZE)
            assert picture.text["image_manipulation"] == "synthetic"
            assert picture.text["prompt"] == item.caption


def test_a_picture_names_no_real_image_and_no_place(drawn, pipeline_folder):
    for item in Dataset.open(drawn.dataset.uri).samples():
        provenance = json.loads(item.provenance)
        assert provenance["model"] == str(pipeline_folder)
        with Image.open(BytesIO(item.image)) as picture:
            assert picture.text.keys() == provenance.keys() - {"caption_of", "model"}
            assert picture.text["model_version"] == provenance["model_version"]
        for hidden in (str(pipeline_folder), provenance["caption_of"]):
            assert hidden.encode() not in item.image


def test_the_tone_is_measured_as_the_caption_stage_measures_it(pipeline_folder, dataset_uri, tmp_path, monkeypatch):
    phantoms = (draw_concepts(PhantomConfig(seed=1), index) for index in range(100))
    pictures = iter([render(concepts, 64) for concepts in phantoms])
    monkeypatch.setattr(Generator, "draw", lambda self, batch, config: [next(pictures) for _ in batch])
    result = sample(CONFIG, str(pipeline_folder), str(tmp_path / "set"), dataset=dataset_uri)
    tones = list(Dataset.open(result.dataset.uri).metadata(["measured_tone"])["measured_tone"])
    captioned = caption(CaptionConfig(tokenizer="tiny"), result.dataset.uri, str(tmp_path / "captioned"))
    assert tones == list(Dataset.open(captioned.dataset.uri).metadata(["measured_tone"])["measured_tone"])
    assert len(set(tones)) > 1
    assert set(tones) <= set(TONE_CLASSES)


def test_the_contact_sheet_lies_beside_the_dataset(drawn):
    with Image.open(drawn.contact_sheet) as sheet:
        assert sheet.height > sheet.width  # three diagnoses, two images each
    assert len(Dataset.open(drawn.dataset.uri)) == 6


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(drawn, pipeline_folder, dataset_uri, tmp_path):
    again = sample(CONFIG, str(pipeline_folder), str(tmp_path / "again"), dataset=dataset_uri)
    assert _images(again.dataset.uri) == _images(drawn.dataset.uri)
    other = CONFIG.model_copy(update={"seed": 1})
    changed = sample(other, str(pipeline_folder), str(tmp_path / "other"), dataset=dataset_uri)
    assert set(_images(changed.dataset.uri).values()).isdisjoint(_images(drawn.dataset.uri).values())


def test_one_image_drawn_alone_is_the_one_of_the_batch(drawn, pipeline_folder, dataset_uri):
    generator = load_generator(str(pipeline_folder))
    generator.set_scheduler(CONFIG.scheduler)
    wanted = requests(CONFIG, Dataset.open(dataset_uri))[3]
    alone = np.asarray(generator.draw([wanted], CONFIG)[0], dtype=int)
    in_batch = np.asarray(decode(_images(drawn.dataset.uri)["synthetic-000003"]), dtype=int)
    assert np.abs(alone - in_batch).max() <= 1


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++"])
def test_schedulers_keep_what_the_model_predicts(pipeline_folder, scheduler):
    generator = load_generator(str(pipeline_folder))
    trained = dict(generator.pipeline.scheduler.config)
    generator.set_scheduler(scheduler)
    config = generator.pipeline.scheduler.config
    for field in ("prediction_type", "beta_schedule", "beta_start", "beta_end", "num_train_timesteps"):
        assert config[field] == trained[field]
    assert config["timestep_spacing"] == "trailing"


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


def test_reference_prompts_need_no_dataset():
    found = requests(SampleConfig(per_class=20, captions="reference"), None)
    assert len(found) == 140
    melanoma = {item.prompt for item in found if item.diagnosis == "mel"}
    assert melanoma == {
        "melanoma small size on a dark skin tone",
        "melanoma large size on a light skin tone",
        "melanoma medium size on a medium skin tone",
    }


def test_plans_that_cannot_be_met_are_refused(dataset_uri, tmp_path):
    dataset = Dataset.open(dataset_uri)
    with pytest.raises(UsageError, match="'bcc' is no diagnosis"):
        requests(SampleConfig(plan={"bcc": 1}), dataset)
    for config in (SampleConfig(), SampleConfig(plan="balance", captions="reference")):
        with pytest.raises(UsageError, match="needs a dataset"):
            requests(config, None)
    with pytest.raises(ValueError, match="plan"):
        SampleConfig(plan={"mel": -1, "nv": 2})
    uncaptioned = Dataset.open(build_dataset(tmp_path / "set", {"train": 5}, caption=None))
    with pytest.raises(DataError, match="No training image of 'df' has a caption"):
        requests(SampleConfig(), uncaptioned)


def _adapter(folder, pipeline_folder, base_version):
    import torch
    from peft import LoraConfig

    from lesiongen.diffusion.family import family_of

    family = family_of(pipeline_folder)
    unet = family.denoiser()
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "lora_B" in name:
                weight.fill_(5.0)
    folder.mkdir()
    family.save_adapter(unet, folder)
    write_manifest(
        folder, family="stable-diffusion", method="lora", prediction="epsilon", image_size=SIZE, training={},
        base=BaseReference(uri=str(pipeline_folder), version=base_version),
    )  # fmt: skip
    return str(folder)


def test_an_adapter_is_drawn_with_on_its_base(pipeline_folder, dataset_uri, tmp_path):
    adapter = _adapter(tmp_path / "adapter", pipeline_folder, model_version(pipeline_folder))
    config = CONFIG.model_copy(update={"image_size": None})
    wanted = requests(config, Dataset.open(dataset_uri))[:1]
    generators = [load_generator(uri) for uri in (adapter, str(pipeline_folder))]
    generators[1].image_size = SIZE
    with_adapter, without = (np.asarray(item.draw(wanted, config)[0], dtype=int) for item in generators)
    assert with_adapter.shape == (SIZE, SIZE, 3)
    assert np.abs(with_adapter - without).max() > 5


def test_an_adapter_on_another_base_is_refused(pipeline_folder, tmp_path):
    adapter = _adapter(tmp_path / "adapter", pipeline_folder, "0" * 64)
    with pytest.raises(DataError, match="was trained on version 000000000000"):
        load_generator(adapter)


def test_a_taken_output_is_refused(drawn, pipeline_folder, dataset_uri):
    with pytest.raises(UsageError, match="already holds a dataset"):
        sample(CONFIG, str(pipeline_folder), drawn.dataset.uri, dataset=dataset_uri)


def test_the_command_reads_a_plan_and_prints_json(pipeline_folder, dataset_uri, tmp_path):
    (tmp_path / "plan.yaml").write_text("mel: 2\nnv: 1\n")
    places = ["--output", str(tmp_path / "set"), "--dataset", dataset_uri, "--plan", str(tmp_path / "plan.yaml")]
    chosen = ["--steps", "2", "--set", f"image_size={SIZE}", "--json"]
    result = CliRunner().invoke(app, ["sample", str(pipeline_folder), *places, *chosen], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["classes"] == {"mel": 2, "nv": 1}
