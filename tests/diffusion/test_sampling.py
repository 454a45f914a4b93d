import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lesiongen.captions import CaptionConfig, caption
from lesiongen.cli.app import app
from lesiongen.dataset import TONE_CLASSES, Dataset, Part
from lesiongen.diffusion.model.folder import model_version, write_manifest
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import Generator, load_generator
from lesiongen.diffusion.sampling.plan import requests
from lesiongen.diffusion.sampling.stage import join_samples, sample
from lesiongen.errors import DataError, Interrupted, StorageError, UsageError
from lesiongen.imaging import decode
from lesiongen.phantoms import PhantomConfig, draw_concepts, render
from lesiongen.records.model import BaseReference, Training

from .conftest import SIZE

CONFIG = SampleConfig(per_class=2, num_inference_steps=2, image_size=SIZE, batch_size=4, mixed_precision="fp32")


def _images(uri):
    return {item.image_id: item.image for item in Dataset.open(uri).samples()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, pipeline_folder, dataset_uri):
    return sample(CONFIG, str(pipeline_folder), str(tmp_path_factory.mktemp("drawn") / "set"), dataset=dataset_uri)


def test_it_publishes_a_training_set_that_says_how_it_was_made(drawn, pipeline_folder, dataset_uri):
    assert drawn.dataset.splits == {"train": 6, "validation": 0, "test": 0}
    assert drawn.dataset.classes == {"df": 2, "mel": 2, "nv": 2}
    assert Dataset.open(drawn.dataset.uri).manifest.name == "tiny-synthetic"
    captions = set(Dataset.open(dataset_uri).metadata(["caption"], split="train")["caption"])
    for item in Dataset.open(drawn.dataset.uri).samples():
        provenance = json.loads(item.provenance)
        assert item.source == "lesiongen"
        assert provenance["image_manipulation"] == "synthetic"
        assert provenance["model_version"] == model_version(pipeline_folder)
        assert provenance["prompt"] == item.caption
        assert item.caption in captions
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
            assert picture.text.keys() == provenance.keys() - {"model"}
            assert picture.text["model_version"] == provenance["model_version"]
        assert str(pipeline_folder).encode() not in item.image
        assert b"train-" not in item.image and "train-" not in item.provenance, "a training image's id"


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
    other = CONFIG.changed(seed=1)
    changed = sample(other, str(pipeline_folder), str(tmp_path / "other"), dataset=dataset_uri)
    assert set(_images(changed.dataset.uri).values()).isdisjoint(_images(drawn.dataset.uri).values())


def test_one_image_drawn_alone_is_the_one_of_the_batch(drawn, pipeline_folder, dataset_uri):
    generator = load_generator(str(pipeline_folder), precision="fp32")
    generator.set_scheduler(CONFIG.scheduler)
    wanted = requests(CONFIG, Dataset.open(dataset_uri))[3]
    alone = np.asarray(generator.draw([wanted], CONFIG)[0], dtype=int)
    in_batch = np.asarray(decode(_images(drawn.dataset.uri)["synthetic-000003"]), dtype=int)
    assert np.abs(alone - in_batch).max() <= 1


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++"])
def test_schedulers_keep_what_the_model_predicts(pipeline_folder, scheduler):
    generator = load_generator(str(pipeline_folder), precision="fp32")
    trained = dict(generator.pipeline.scheduler.config)
    generator.set_scheduler(scheduler)
    config = generator.pipeline.scheduler.config
    for field in ("prediction_type", "beta_schedule", "beta_start", "beta_end", "num_train_timesteps"):
        assert config[field] == trained[field]
    assert config["timestep_spacing"] == "trailing"


@pytest.mark.parametrize("count", [2, 3])
def test_joined_parts_are_what_one_job_draws(pipeline_folder, dataset_uri, tmp_path, monkeypatch, count):
    """Ten images in batches of four, four and two: the parts draw these very batches, and so the very same bits."""
    plain, seen = Generator.draw, []

    def noting(self, batch, config):
        seen.append([item.index for item in batch])
        return plain(self, batch, config)

    monkeypatch.setattr(Generator, "draw", noting)
    config = CONFIG.changed(plan={"mel": 4, "nv": 6})
    whole = sample(config, str(pipeline_folder), str(tmp_path / "whole"), dataset=dataset_uri)
    parts = [str(tmp_path / f"part{number}") for number in range(count)]
    for number, output in enumerate(parts, start=1):
        sample(config, str(pipeline_folder), output, dataset=dataset_uri, part=Part(number, count))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] * 2
    joined = join_samples(parts, str(tmp_path / "joined"))
    assert joined.dataset.version == whole.dataset.version
    with Image.open(joined.contact_sheet) as sheet, Image.open(whole.contact_sheet) as sheet_of_whole:
        assert np.array_equal(sheet, sheet_of_whole)
    assert join_samples(parts, str(tmp_path / "joined")) == joined


def test_many_parts_of_a_small_plan_take_smaller_batches(pipeline_folder, dataset_uri, tmp_path):
    config = CONFIG.changed(batch_size=32)
    for number in (1, 2, 3):
        output = str(tmp_path / f"part{number}")
        drawn = sample(config, str(pipeline_folder), output, dataset=dataset_uri, part=Part(number, 3))
        assert drawn.dataset.rows == 2
    with pytest.raises(UsageError, match="Part 1/7: there are 6 to share"):
        sample(config, str(pipeline_folder), str(tmp_path / "none"), dataset=dataset_uri, part=Part(1, 7))


def test_a_second_attempt_draws_only_what_is_missing(drawn, pipeline_folder, dataset_uri, tmp_path, monkeypatch):
    plain, seen = Generator.draw, []

    def dying(self, batch, config):
        if len(seen) == 1:
            raise KeyboardInterrupt
        return counting(self, batch, config)

    def counting(self, batch, config):
        seen.append([item.index for item in batch])
        return plain(self, batch, config)

    output = tmp_path / "set"
    monkeypatch.setattr(Generator, "draw", dying)
    with pytest.raises(Interrupted, match=f"4 of 6 images are drawn and kept in {output}"):
        sample(CONFIG, str(pipeline_folder), str(output), dataset=dataset_uri)
    assert not (output / "_dataset.json").exists()
    monkeypatch.setattr(Generator, "draw", counting)
    again = sample(CONFIG, str(pipeline_folder), str(output), dataset=dataset_uri)
    assert seen == [[0, 1, 2, 3], [4, 5]]
    assert again.dataset.version == drawn.dataset.version
    assert not list((output / "_work").rglob("*.rows"))


def test_a_run_killed_before_its_contact_sheet_goes_on(drawn, pipeline_folder, dataset_uri, tmp_path, monkeypatch):
    def dying(*_, **__):
        raise KeyboardInterrupt

    output, work = tmp_path / "set", tmp_path / "work"
    where = {"dataset": dataset_uri, "work": str(work)}
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="6 of 6 images are drawn"):
        patch.setattr("lesiongen.diffusion.sampling.stage.contact_sheet", dying)
        sample(CONFIG, str(pipeline_folder), str(output), **where)
    assert not (output / "_dataset.json").exists(), "the sheet is there before the manifest"
    assert len(list(work.rglob("*.rows"))) == 2
    monkeypatch.setattr(Generator, "draw", lambda *_: pytest.fail("drawn again"))
    again = sample(CONFIG, str(pipeline_folder), str(output), **where)
    assert again.dataset.version == drawn.dataset.version
    with Image.open(again.contact_sheet) as sheet, Image.open(drawn.contact_sheet) as undisturbed:
        assert np.array_equal(sheet, undisturbed)
    assert not list(work.rglob("*.rows"))


def test_a_damaged_batch_is_drawn_again(pipeline_folder, dataset_uri, tmp_path, monkeypatch, caplog):
    work = tmp_path / "work"
    monkeypatch.setattr("lesiongen.diffusion.sampling.drawn.Drawn.clear", lambda self, batches: None)
    first = sample(CONFIG, str(pipeline_folder), str(tmp_path / "a"), dataset=dataset_uri, work=str(work))
    cut, flipped = sorted(work.rglob("*.rows"))
    content = flipped.read_bytes()
    inside_an_image = content.index(b"IDAT") + 8
    cut.write_bytes(cut.read_bytes()[:100])
    flipped.write_bytes(
        content[:inside_an_image] + bytes([content[inside_an_image] ^ 1]) + content[inside_an_image + 1 :]
    )
    second = sample(CONFIG, str(pipeline_folder), str(tmp_path / "b"), dataset=dataset_uri, work=str(work))
    assert first.dataset.version == second.dataset.version
    assert caplog.text.count("is damaged and is drawn again") == 2


def test_one_image_of_the_plan_is_drawn_again_to_the_last_bit(drawn, pipeline_folder, dataset_uri, tmp_path):
    config = CONFIG.changed(only=(4,))
    again = sample(config, str(pipeline_folder), str(tmp_path / "one"), dataset=dataset_uri)
    assert _images(again.dataset.uri) == {"synthetic-000004": _images(drawn.dataset.uri)["synthetic-000004"]}
    with pytest.raises(UsageError, match="only = 6: the plan has the images 0 to 5"):
        requests(CONFIG.changed(only=(6,)), Dataset.open(dataset_uri))


def test_a_part_without_the_wanted_image_says_which_has_it(drawn, pipeline_folder, dataset_uri, tmp_path):
    config = CONFIG.changed(only=(4,))
    with pytest.raises(UsageError, match="only = 4: part 1/2 contains none of the wanted images") as error:
        sample(config, str(pipeline_folder), str(tmp_path / "one"), dataset=dataset_uri, part=Part(1, 2))
    assert error.value.hint == "Image 4 is in part 2/2."
    again = sample(config, str(pipeline_folder), str(tmp_path / "two"), dataset=dataset_uri, part=Part(2, 2))
    assert _images(again.dataset.uri) == {"synthetic-000004": _images(drawn.dataset.uri)["synthetic-000004"]}


def _adapter(folder, pipeline_folder, base_version):
    import torch
    from peft import LoraConfig

    from lesiongen.diffusion.families.supported import family_of

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
        folder, family="stable-diffusion", method="lora", prediction_type="epsilon", image_size=SIZE,
        training=Training(), base=BaseReference(uri=str(pipeline_folder), version=base_version),
    )  # fmt: skip
    return str(folder)


def test_an_adapter_is_drawn_with_on_its_base(pipeline_folder, dataset_uri, tmp_path):
    adapter = _adapter(tmp_path / "adapter", pipeline_folder, model_version(pipeline_folder))
    config = CONFIG.changed(image_size=None)
    wanted = requests(config, Dataset.open(dataset_uri))[:1]
    generators = [load_generator(uri, precision="fp32") for uri in (adapter, str(pipeline_folder))]
    generators[1].image_size = SIZE
    with_adapter, without = (np.asarray(item.draw(wanted, config)[0], dtype=int) for item in generators)
    assert with_adapter.shape == (SIZE, SIZE, 3)
    assert np.abs(with_adapter - without).max() > 5


def test_the_strength_of_an_adapter(pipeline_folder, dataset_uri, tmp_path):
    adapter = _adapter(tmp_path / "adapter", pipeline_folder, model_version(pipeline_folder))
    wanted = requests(CONFIG, Dataset.open(dataset_uri))[:1]
    pictures = [
        np.asarray(load_generator(uri, **scale, precision="fp32").draw(wanted, CONFIG)[0], dtype=int)
        for uri, scale in ((adapter, {"lora_scale": 0.0}), (str(pipeline_folder), {}), (adapter, {"lora_scale": 0.5}))
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.abs(pictures[2] - pictures[1]).max() > 5
    with pytest.raises(UsageError, match="lora_scale = 0.5: .* is a whole model"):
        load_generator(str(pipeline_folder), lora_scale=0.5)


def test_an_adapter_on_another_base_is_refused(pipeline_folder, tmp_path):
    adapter = _adapter(tmp_path / "adapter", pipeline_folder, "0" * 64)
    with pytest.raises(DataError, match="was trained on version 000000000000"):
        load_generator(adapter)


def test_a_taken_output_is_refused(drawn, pipeline_folder, dataset_uri):
    with pytest.raises(UsageError, match="already holds a dataset"):
        sample(CONFIG.changed(seed=1), str(pipeline_folder), drawn.dataset.uri, dataset=dataset_uri)


def test_the_command_reads_a_plan_and_prints_json(pipeline_folder, dataset_uri, tmp_path):
    (tmp_path / "plan.yaml").write_text("mel: 2\nnv: 1\n")
    places = ["--output", str(tmp_path / "set"), "--dataset", dataset_uri, "--plan", str(tmp_path / "plan.yaml")]
    chosen = ["--num-inference-steps", "2", "--set", f"image_size={SIZE}", "--json"]
    result = CliRunner().invoke(app, ["sample", str(pipeline_folder), *places, *chosen], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["classes"] == {"mel": 2, "nv": 1}


@pytest.mark.parametrize("where", ["output", "work"])
def test_a_place_that_cannot_be_written_is_refused_before_the_model_is_loaded(dataset_uri, tmp_path, where):
    (tmp_path / "file").touch()
    places = {"output": str(tmp_path / "out"), where: str(tmp_path / "file" / "out")}
    with pytest.raises(StorageError, match="cannot be written: .*file is not a folder"):
        sample(CONFIG, "no/model/at/all", dataset=dataset_uri, **places)
