"""Stable Diffusion 3: text encoders, flow matching, adapters and whole models, as diffusers itself does it."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors import safe_open

from lesiongen.captions.tokenizers import load_tokenizers, token_budget
from lesiongen.dataset import Dataset
from lesiongen.diffusion import finetune, sample
from lesiongen.diffusion.families.family import ModelFamily
from lesiongen.diffusion.families.supported import family_of, hub_files
from lesiongen.diffusion.latents.cache import _key
from lesiongen.diffusion.model.folder import read_manifest
from lesiongen.diffusion.orientations import Orientations
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.errors import DataError, Interrupted, UsageError
from lesiongen.records.provenance import SyntheticProvenance

from .conftest import SIZE

CPU = torch.device("cpu")
CAPTIONS = ["melanoma, dark", "nevus"]
FOLDERS = ["sd3_folder", "sd3_without_t5"]


@pytest.fixture
def settings(config, sd3_folder):
    return config.changed(base=str(sd3_folder), snr_gamma=None)


def _weights(folder):
    tensors = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors |= {f"{path.relative_to(folder)}/{name}": file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors


def _diffusers_pipeline(folder):
    """Loads a folder as diffusers' users do; what is left out of it has to be named."""
    index = json.loads((folder / "model_index.json").read_text())
    left_out = {part: None for part in ("text_encoder_3", "tokenizer_3") if index[part] == [None, None]}
    return StableDiffusion3Pipeline.from_pretrained(folder, **left_out)


def _pixels(uri):
    return {item.image_id: item.image for item in Dataset.open(uri).samples(split="train")}


@pytest.mark.parametrize("folder", FOLDERS)
def test_captions_are_encoded_as_the_pipeline_encodes_them(request, folder):
    folder = request.getfixturevalue(folder)
    pipeline = _diffusers_pipeline(folder)
    encoded = family_of(folder).caption_encoder(CPU)(["", *CAPTIONS])
    for row, caption in enumerate(["", *CAPTIONS]):
        text, _, pooled, _ = pipeline.encode_prompt(caption, None, None, do_classifier_free_guidance=False)
        torch.testing.assert_close(encoded["text"][row], text[0])
        torch.testing.assert_close(encoded["pooled"][row], pooled[0])


def test_t5_reads_the_caption_where_the_pipeline_has_it(sd3_folder, sd3_without_t5):
    encoded = {folder: family_of(folder).caption_encoder(CPU)(CAPTIONS) for folder in (sd3_folder, sd3_without_t5)}
    assert encoded[sd3_folder]["text"][:, 24:].abs().sum() > 0
    assert not encoded[sd3_without_t5]["text"][:, 24:].any()
    assert torch.equal(encoded[sd3_folder]["text"][:, :24], encoded[sd3_without_t5]["text"][:, :24])


def test_no_caption_is_the_same_in_training_and_in_drawing(sd3_folder, monkeypatch):
    told, forward = [], SD3Transformer2DModel.forward

    def watched(self, **named):
        told.append({"text": named["encoder_hidden_states"][0], "pooled": named["pooled_projections"][0]})
        return forward(self, **named)

    monkeypatch.setattr(SD3Transformer2DModel, "forward", watched)
    load_generator(str(sd3_folder), precision="fp32").draw(
        [Request(0, "mel", CAPTIONS[0], 2.0, 1)], SampleConfig(image_size=SIZE)
    )
    for name, values in family_of(sd3_folder).caption_encoder(CPU)(["", CAPTIONS[0]]).items():
        torch.testing.assert_close(told[0][name], values[0])


def test_images_are_encoded_and_decoded_as_the_pipeline_does_it(sd3_folder):
    pipeline, family = StableDiffusion3Pipeline.from_pretrained(sd3_folder), family_of(sd3_folder)
    pixels = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    with torch.inference_mode():
        mean = pipeline.vae.encode(pixels).latent_dist.mean
        expected = (mean - 0.0609) * 1.5305
        found, _ = family.image_encoder(CPU)(pixels)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(family.decode(pipeline.vae, found), pipeline.vae.decode(mean).sample)


def test_what_is_predicted_is_what_the_pipeline_uses(sd3_folder):
    family = family_of(sd3_folder)
    noisy, timesteps = torch.randn(2, 16, SIZE // 2, SIZE // 2), torch.tensor([5.0, 700.0])
    told = family.caption_encoder(CPU)(CAPTIONS)
    with torch.inference_mode():
        found = family.predict(family.denoiser(), noisy, timesteps, told)
        expected = StableDiffusion3Pipeline.from_pretrained(sd3_folder).transformer(
            hidden_states=noisy, timestep=timesteps, encoder_hidden_states=told["text"],
            pooled_projections=told["pooled"],
        ).sample  # fmt: skip
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_is_trained_published_and_drawn_with(settings, request, dataset_uri, tmp_path, method, folder):
    base = str(request.getfixturevalue(folder))
    trained = settings.changed(base=base, method=method)
    result = finetune(trained, dataset_uri, str(tmp_path / "model"))
    manifest = read_manifest(tmp_path / "model")
    assert (manifest.family, manifest.method) == ("stable-diffusion-3", method)
    assert manifest.prediction == "flow_prediction"
    assert result.held_out_loss is not None
    drawing = SampleConfig(per_class=1, num_inference_steps=2, mixed_precision="fp32")
    drawn = sample(drawing, str(tmp_path / "model"), str(tmp_path / "drawn"), dataset=dataset_uri)
    sized = drawing.changed(image_size=SIZE)
    before = sample(sized, base, str(tmp_path / "base"), dataset=dataset_uri)
    first, second = _pixels(drawn.dataset.uri), _pixels(before.dataset.uri)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)
    record = next(Dataset.open(drawn.dataset.uri).samples(split="train")).provenance
    assert SyntheticProvenance.model_validate_json(record).scheduler == "euler"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_weights_of_a_resumed_run_are_those_of_one_never_stopped(
    settings, dataset_uri, tmp_path, monkeypatch, method
):
    from lesiongen.diffusion.training.trainer import Trainer

    config = settings.changed(method=method)
    whole = finetune(config, dataset_uri, str(tmp_path / "whole"))
    after = Trainer._after_step

    def stopping(self, bar, stop):
        if self.history.step == 3:
            stop.requested = "SIGTERM"
        after(self, bar, stop)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(Trainer, "_after_step", stopping)
        finetune(config, dataset_uri, str(tmp_path / "resumed"))
    resumed = finetune(config, dataset_uri, str(tmp_path / "resumed"))
    assert resumed.resumed_from == 3
    assert resumed.losses == whole.losses
    expected, found = _weights(tmp_path / "whole"), _weights(tmp_path / "resumed")
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_training_lowers_the_held_out_loss(settings, dataset_uri, tmp_path):
    config = settings.changed(
        max_train_steps=60, ema=False, learning_rate=1e-2, validation_every=60, lr_scheduler="constant"
    )
    hardly = config.changed(max_train_steps=2, learning_rate=1e-9)
    start = finetune(hardly, dataset_uri, str(tmp_path / "start"))
    end = finetune(config, dataset_uri, str(tmp_path / "end"))
    assert end.held_out_loss < 0.95 * start.held_out_loss


def test_an_adapter_loads_into_its_base_with_diffusers(settings, sd3_folder, dataset_uri, tmp_path):
    """Merged by our loader it changes the denoiser as diffusers itself changes it."""
    finetune(settings.changed(method="lora", rank=2), dataset_uri, str(tmp_path / "model"))
    pipeline = StableDiffusion3Pipeline.from_pretrained(sd3_folder)
    pipeline.load_lora_weights(tmp_path / "model", weight_name="pytorch_lora_weights.safetensors")
    assert pipeline.get_active_adapters() == ["default_0"]
    merged = load_generator(str(tmp_path / "model"), precision="fp32").pipeline.transformer
    told = family_of(sd3_folder).caption_encoder(CPU)(CAPTIONS[:1])
    named = {
        "hidden_states": torch.randn(1, 16, SIZE // 2, SIZE // 2), "timestep": torch.tensor([300.0]),
        "encoder_hidden_states": told["text"], "pooled_projections": told["pooled"],
    }  # fmt: skip
    with torch.inference_mode():
        ours, theirs = merged(**named).sample, pipeline.transformer(**named).sample
        pipeline.unload_lora_weights()
        base = pipeline.transformer(**named).sample
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours, base, atol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_whole_model_is_a_pipeline_of_diffusers(settings, request, dataset_uri, tmp_path, folder):
    finetune(
        settings.changed(base=str(request.getfixturevalue(folder)), max_train_steps=2),
        dataset_uri, str(tmp_path / "model"),
    )  # fmt: skip
    pipeline = _diffusers_pipeline(tmp_path / "model")
    assert pipeline.scheduler.config.shift == 3.0
    assert (pipeline.text_encoder_3 is None) == (folder == "sd3_without_t5")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_a_precision_draws_the_same_pictures_up_to_rounding(sd3_folder, precision):
    wanted, pictures = [Request(index, "mel", CAPTIONS[0], 2.0, 4) for index in range(2)], {}
    for name in ("fp32", precision):
        generator = load_generator(str(sd3_folder), precision="fp32").prepare(name)
        drawn = generator.draw(wanted, SampleConfig(image_size=SIZE))
        pictures[name] = np.stack([np.asarray(image, dtype=float) for image in drawn])
    error = np.abs(pictures[precision] - pictures["fp32"])
    assert 0 < error.mean() < 2
    assert pictures["fp32"].std() > 10


def test_t5_keeps_the_layers_in_fp32_that_overflow_in_fp16(sd3_folder):
    """transformers names them itself: the last layer of each feed-forward block."""
    encoder = load_generator(str(sd3_folder), precision="fp32").prepare("fp16").pipeline.text_encoder_3
    kept = {name for name, weight in encoder.named_parameters() if weight.dtype == torch.float32}
    assert kept == {name for name, _ in encoder.named_parameters() if ".wo." in name}
    assert kept


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_that_it_needs_is_fetched_from_the_hub_and_nothing_else(request, folder):
    from huggingface_hub.utils import filter_repo_objects

    folder = request.getfixturevalue(folder)
    held = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    shards = ["text_encoder_3/model-00001-of-00002.safetensors", "text_encoder_3/model.safetensors.index.json"]
    other = [
        "sd3_medium.safetensors",
        "text_encoder_3/model.fp16-00001-of-00002.safetensors",
        "text_encoders/t5xxl_fp16.safetensors",
        "tokenizer_3/spiece.model",
    ]
    assert list(filter_repo_objects([*held, *shards, *other], allow_patterns=hub_files())) == [*held, *shards]


def test_a_text_encoder_that_is_named_but_missing_is_not_taken_for_left_out(sd3_folder, tmp_path):
    folder = shutil.copytree(sd3_folder, tmp_path / "pipeline")
    shutil.rmtree(folder / "text_encoder_3")
    with pytest.raises(DataError, match="text_encoder_3 is missing, or contains no configuration"):
        family_of(folder)


def test_captions_fit_the_tokenizers_of_all_text_encoders(sd3_folder, sd3_without_t5):
    tokenizers = load_tokenizers(str(sd3_folder))
    assert [tokenizer.model_max_length for tokenizer in tokenizers] == [24, 24, 512]
    assert token_budget(tokenizers, None) == 24
    assert len(load_tokenizers(str(sd3_without_t5))) == 2


@pytest.mark.parametrize(("caption", "limits"), [("a " * 30, [24]), ("a " * 300, [24, 256]), ("a", [])])
def test_captions_that_a_text_encoder_cuts_are_warned_of(sd3_folder, caplog, caption, limits):
    with caplog.at_level("WARNING"):
        family_of(sd3_folder).caption_encoder(CPU)([caption])
    expected = [f"1 captions exceed the text encoder's {limit} tokens and are cut: caption again" for limit in limits]
    assert [record.getMessage() for record in caplog.records if "exceed" in record.getMessage()] == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"snr_gamma": 5.0}, r"snr_gamma = 5\.0: flow matching has no min-SNR weights"),
        ({"prediction_type": "epsilon"}, "prediction_type = epsilon"),
        ({"image_size": 40}, "image_size = 40: .* takes a multiple of 4, up to 32"),
    ],
)
def test_what_the_family_does_not_have_is_refused_before_anything_is_encoded(
    settings, dataset_uri, tmp_path, monkeypatch, changes, said
):
    monkeypatch.setattr("lesiongen.diffusion.finetuning.encoded", lambda *_: pytest.fail("encoded"))
    with pytest.raises(UsageError, match=said):
        finetune(settings.changed(**changes), dataset_uri, str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scheduler": "ddim"}, "scheduler = ddim: unknown sampler .*\nAvailable: euler."),
        ({"image_size": 40}, "image_size = 40"),
    ],
)
def test_what_the_family_cannot_draw_is_refused_before_the_pipeline_is_loaded(
    sd3_folder, dataset_uri, tmp_path, monkeypatch, changes, said
):
    monkeypatch.setattr(ModelFamily, "load_pipeline", lambda *_: pytest.fail("loaded"))
    drawing = SampleConfig(per_class=1, num_inference_steps=2, **{"image_size": SIZE, **changes})
    with pytest.raises(UsageError, match=said):
        sample(drawing, str(sd3_folder), str(tmp_path / "drawn"), dataset=dataset_uri)


@pytest.mark.parametrize(
    ("name", "changes", "use"),
    [
        ("transformer/config.json", {"pos_embed_max_size": None}, lambda family: family.check_image_size(64)),
        ("transformer/config.json", {"patch_size": "2"}, lambda family: family.check_image_size(64)),
        ("vae/config.json", {"block_out_channels": 3}, lambda family: family.check_image_size(64)),
        ("transformer/config.json", {"joint_attention_dim": None}, lambda family: family.caption_settings()),
    ],
)
def test_a_configuration_without_what_the_family_reads_is_named(sd3_folder, tmp_path, name, changes, use):
    folder = shutil.copytree(sd3_folder, tmp_path / "damaged")
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | changes))
    with pytest.raises(DataError, match=f"{name} cannot be loaded: missing or invalid {next(iter(changes))}"):
        use(family_of(folder))


def test_a_text_encoder_without_its_tokenizer_is_named(sd3_folder, tmp_path):
    folder = shutil.copytree(sd3_folder, tmp_path / "damaged")
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"tokenizer_3": [None, None]}))
    with pytest.raises(DataError, match="model_index.json names text_encoder_3 without tokenizer_3"):
        family_of(folder)


def test_captions_are_encoded_again_for_another_width_of_text(sd3_folder, dataset_uri, tmp_path):
    folder = shutil.copytree(sd3_folder, tmp_path / "wider")
    path = folder / "transformer" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"joint_attention_dim": 2 * config["joint_attention_dim"]}))
    keys = {
        _key(Dataset.open(dataset_uri), "train", family_of(each), SIZE, Orientations(flip=True, rotations=False), [0])
        for each in (sd3_folder, folder)
    }
    assert len(keys) == 2


def test_a_picture_that_is_not_whole_patches_is_refused(sd3_folder):
    with pytest.raises(UsageError, match="image_size = 40"):
        load_generator(str(sd3_folder)).draw([Request(0, "mel", "nevus", 2.0, 1)], SampleConfig(image_size=40))
    assert json.loads((sd3_folder / "transformer" / "config.json").read_text())["pos_embed_max_size"] == 8
