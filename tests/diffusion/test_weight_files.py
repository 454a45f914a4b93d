"""Weights in half precision only, whole models in one file, adapters whose base has moved."""

import os
import re
import shutil
import subprocess
import sys

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.families.weight_files import plain_name, variant_of
from lesiongen.diffusion.model.folder import local_model
from lesiongen.diffusion.sampling.generator import Generator, load_generator
from lesiongen.errors import DataError, UsageError


def halved(source, target, variant="fp16"):
    """Copies a pipeline folder; its weights come in half precision, named as diffusers names a variant."""
    shutil.copytree(source, target)
    for path in target.rglob("*.safetensors"):
        weights = {
            name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()
        }
        save_file(weights, path.with_suffix(f".{variant}.safetensors"), metadata={"format": "pt"})
        path.unlink()
    return target


@pytest.mark.parametrize("family", ["pipeline_folder", "xl_folder"])
def test_a_folder_of_half_precision_alone_is_loaded_and_cast(family, request, tmp_path):
    folder = request.getfixturevalue(family)
    half = halved(folder, tmp_path / "half")
    assert variant_of(half / "unet") == "fp16"
    plain, loaded = (family_of(place).load_pipeline() for place in (folder, half))
    for name in ("unet", "vae", "text_encoder"):
        wanted, found = (getattr(pipeline, name).state_dict() for pipeline in (plain, loaded))
        assert {value.dtype for value in found.values() if value.is_floating_point()} == {torch.float32}
        for key, value in wanted.items():
            assert torch.equal(found[key], value.half().float() if value.is_floating_point() else value)
    drawing = Generator(family_of(half), loaded, "1").prepare("fp16").pipeline
    assert (drawing.unet.dtype, drawing.vae.dtype) == (torch.float16, torch.float32)


def test_plain_weights_are_taken_before_a_variant(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "both")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({"other": torch.zeros(1)}, weights.with_suffix(".fp16.safetensors"))
    assert variant_of(folder / "unet") is None
    family_of(folder).load_pipeline()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.fp16.safetensors", "model.safetensors"),
        ("model.safetensors.index.fp16.json", "model.safetensors.index.json"),
        ("model.fp16-00001-of-00002.safetensors", "model.fp16-00001-of-00002.safetensors"),
        ("config.json", "config.json"),
    ],
)
def test_names_of_a_variant_become_plain(name, expected):
    assert plain_name(name, "fp16") == expected


def test_what_is_trained_on_half_precision_is_a_plain_pipeline(config, pipeline_folder, dataset_uri, tmp_path):
    half = halved(pipeline_folder, tmp_path / "half")
    finetune(config.changed(base=str(half), max_train_steps=2), dataset_uri, str(tmp_path / "model"))
    made = sorted(path.name for path in (tmp_path / "model").rglob("*.safetensors"))
    assert made == ["diffusion_pytorch_model.safetensors"] * 2 + ["model.safetensors"]
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(
        tmp_path / "model", use_safetensors=True, local_files_only=True, safety_checker=None
    )
    assert isinstance(loaded.unet, diffusers.UNet2DConditionModel)


SD = ["model.diffusion_model.time_embed.0.weight", "first_stage_model.decoder.conv_in.bias", "cond_stage_model.x"]
XL = ["model.diffusion_model.time_embed.0.weight", "conditioner.embedders.1.model.x"]
SD3 = ["model.diffusion_model.joint_blocks.0.context_block.attn.proj.bias", "first_stage_model.decoder.conv_in.bias"]


@pytest.mark.parametrize(
    ("tensors", "said", "pipeline"),
    [
        (SD, "is a checkpoint in a single file, not a pipeline folder", "StableDiffusionPipeline"),
        (XL, "is a checkpoint in a single file, not a pipeline folder", "StableDiffusionXLPipeline"),
        (SD3, "is a checkpoint in a single file, not a pipeline folder", "StableDiffusion3Pipeline"),
        (["lora_unet_x.lora_down.weight"], r"is an adapter \(LoRA\) in a single file", None),
        (["conv_in.weight"], "holds a part of a model, or another kind of model", None),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["the file", "its folder"])
def test_a_single_file_is_named_with_the_way_out(tmp_path, tensors, said, pipeline, inside):
    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(1) for name in tensors}, path)
    with pytest.raises(UsageError, match=said) as caught, local_model(str(tmp_path if inside else path)):
        pass
    assert str(path) in str(caught.value)
    named = re.search(r"from diffusers import (\w+)", caught.value.hint)
    assert (named and named[1]) == pipeline
    if pipeline:  # diffusers still has what the hint asks for
        assert callable(getattr(diffusers, pipeline).from_single_file)
        assert ".save_pretrained(" in caught.value.hint


def test_the_conversion_that_is_named_makes_a_folder_of_a_checkpoint_without_a_network(tmp_path):
    from tests.diffusion.conftest import build_original_pipeline
    from tests.diffusion.original_layout import write_single_file

    family, file, made = (tmp_path / name for name in ("family", "model.safetensors", "made"))
    original = build_original_pipeline(1)
    write_single_file(original, file)
    build_original_pipeline(2).save_pretrained(family)
    with pytest.raises(UsageError) as caught, local_model(str(file)):
        pass
    code = re.search(r'python -c "([^"]+)"', caught.value.hint)[1]
    assert "add config='FOLDER OF A MODEL OF THE SAME FAMILY' behind 'FILE'" in caught.value.hint
    code = code.replace("'FILE'", f"{str(file)!r}, config={str(family)!r}").replace("'FOLDER'", repr(str(made)))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    loaded = family_of(made).load_pipeline()
    for name in ("unet", "vae", "text_encoder"):
        wanted, found = (getattr(pipeline, name).state_dict() for pipeline in (original, loaded))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], value) for key, value in wanted.items())


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("missing.safetensors", UsageError, "missing.safetensors does not exist"),
        ("model.ckpt", UsageError, "model.ckpt is a file of pickled weights"),
        ("cut.safetensors", DataError, "cut.safetensors is damaged"),
    ],
)
def test_a_file_that_is_none_or_cannot_be_read_is_named(tmp_path, name, error, said):
    if name != "missing.safetensors":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(error, match=said), local_model(str(tmp_path / name)):
        pass


@pytest.fixture
def adapter(config, pipeline_folder, dataset_uri, tmp_path):
    """An adapter whose base has been moved from one folder to another."""
    base, moved = tmp_path / "base", tmp_path / "moved"
    shutil.copytree(pipeline_folder, base)
    uri = str(tmp_path / "adapter")
    finetune(config.changed(method="lora", rank=2, max_train_steps=2, base=str(base)), dataset_uri, uri)
    base.rename(moved)
    return uri, base, moved


def test_an_adapter_whose_base_has_moved_names_it_and_takes_the_new_place(adapter, xl_folder):
    uri, base, moved = adapter
    with pytest.raises(UsageError) as caught:
        load_generator(uri)
    said = str(caught.value)
    assert f"{uri} is an adapter, and its base model {base} (version " in said
    assert "--base PLACE" in said
    assert load_generator(uri, base=str(moved)).version == load_generator(uri, base=str(moved)).version
    with pytest.raises(DataError, match=re.escape(str(xl_folder))):
        load_generator(uri, base=str(xl_folder))
    with pytest.raises(UsageError, match="is a whole model, not an adapter"):
        load_generator(str(moved), base=str(moved))


def test_the_place_of_the_base_is_an_option_of_sample(adapter, dataset_uri, tmp_path):
    from typer.testing import CliRunner

    from lesiongen.cli.app import app

    uri, _, moved = adapter
    arguments = [
        "sample",
        uri,
        "--dataset",
        dataset_uri,
        "--per-class",
        "1",
        "--num-inference-steps",
        "2",
        "--guidance-scale",
        "1",
    ]
    drawn = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "drawn"), "--base", str(moved)])
    assert drawn.exit_code == 0, drawn.output
    refused = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "refused")])
    assert isinstance(refused.exception, UsageError)
