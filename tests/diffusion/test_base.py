import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lesiongen.diffusion.families.supported import family_of, hub_files
from lesiongen.diffusion.model.base import base_version, prepared_base
from lesiongen.diffusion.model.folder import local_model, read_manifest
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.storage import open_storage

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(pipeline_folder, tmp_path, monkeypatch):
    """The hub's own cache of one repository, with the hub out of reach."""
    from huggingface_hub import constants

    place = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(pipeline_folder, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_hub_id_is_resolved_and_pinned_to_its_commit(hub_cache, config, pipeline_folder, dataset_uri, tmp_path):
    from_hub = config.changed(base="owner/name")
    with prepared_base(from_hub, dataset_uri, open_storage(str(tmp_path / "place"))) as base:
        assert (base.reference.uri, base.reference.revision, base.built) == ("owner/name", COMMIT, False)
        assert (base.folder / "unet" / "config.json").is_file()
    assert base_version(from_hub) == base_version(config) == base.reference.version


@pytest.mark.parametrize("family", ["pipeline_folder", "xl_folder"])
def test_all_that_a_family_needs_is_fetched_from_the_hub_and_nothing_else(family, request):
    from huggingface_hub.utils import filter_repo_objects

    folder = request.getfixturevalue(family)
    held = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    other = [
        "unet/diffusion_pytorch_model.bin",
        "safety_checker/model.safetensors",
        "text_encoder/model.fp16.safetensors",
    ]
    assert list(filter_repo_objects([*held, *other], allow_patterns=hub_files())) == held


def test_a_base_that_is_nowhere_says_what_to_do(hub_cache):
    with pytest.raises(
        StorageError, match="owner/other is not a folder on this machine, and could not be fetched from the hub"
    ):
        local_model("owner/other").__enter__()
    with pytest.raises(UsageError, match="neither a folder, nor an s3:// prefix, nor a hub id"):
        local_model("./not/a/model").__enter__()


@pytest.mark.slow
def test_an_adapter_is_no_base(config, dataset_uri, tmp_path):
    from lesiongen.diffusion import finetune

    adapter = str(tmp_path / "adapter")
    finetune(config.changed(method="lora", rank=2, max_train_steps=2), dataset_uri, adapter)
    on_top = config.changed(base=adapter)
    with (
        pytest.raises(UsageError, match="is an adapter"),
        prepared_base(on_top, dataset_uri, open_storage(str(tmp_path / "place"))),
    ):
        pass


def test_a_tiny_base_is_built_once_from_the_training_images(config, dataset_uri, tmp_path, monkeypatch, caplog):
    from lesiongen.diffusion import finetune
    from lesiongen.diffusion.tiny import build as tiny_build

    built, build = [], tiny_build.build_base_model
    monkeypatch.setattr(tiny_build, "build_base_model", lambda *args: (built.append(args[1]), build(*args))[1])
    smallest = {"image_size": 32, "vae_channels": (16, 32), "unet_channels": (16, 32), "text_width": 16,
                "text_layers": 1, "vae_steps": 1, "text_steps": 1}  # fmt: skip
    tiny = config.changed(base="tiny", tiny_base=smallest, image_size=32, max_train_steps=2)
    checkpoints = str(tmp_path / "checkpoints")
    with caplog.at_level("INFO"):
        finetune(tiny, dataset_uri, str(tmp_path / "first"), checkpoints=checkpoints)
    assert "built from the run's own training images" in caplog.text
    again = finetune(tiny, dataset_uri, str(tmp_path / "again"), checkpoints=checkpoints)
    assert built == [dataset_uri]
    assert again.resumed_from == 2
    manifest = read_manifest(tmp_path / "again")
    assert manifest.base.uri == "tiny"
    assert manifest.training.base_trained_on_own_images is True


def test_what_is_not_on_the_hub_has_no_revision(pipeline_folder):
    with (
        pytest.raises(UsageError, match="is not on the hub, and has no revision '0123abc'"),
        local_model(str(pipeline_folder), "0123abc"),
    ):
        pass


def _cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def _brackets(path):
    path.write_text("[" * 100_000)


def _list(path):
    path.write_text("[]")


def _with(**values):
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("unet/diffusion_pytorch_model.safetensors", _cut, "model.safetensors is damaged"),
        ("text_encoder/model.safetensors", _cut, "model.safetensors is damaged"),
        ("vae/config.json", _cut, "config.json is damaged"),
        ("scheduler/scheduler_config.json", Path.unlink, "scheduler is missing, or contains no configuration"),
        ("unet", shutil.rmtree, "unet is missing, or contains no configuration"),
        ("vae/config.json", _brackets, "config.json is damaged"),
        ("unet/config.json", _list, "config.json is damaged: not a JSON object"),
        ("scheduler/scheduler_config.json", _with(num_train_timesteps="x"), "scheduler cannot be loaded"),
        ("scheduler/scheduler_config.json", _with(num_train_timesteps=10**9), "not within 1 and 100,000"),
        ("scheduler/scheduler_config.json", _with(beta_schedule=["linear"]), "scheduler cannot be loaded"),
    ],
)
def test_a_folder_that_is_not_whole_is_named_before_anything_is_loaded(pipeline_folder, tmp_path, name, harm, said):
    folder = shutil.copytree(pipeline_folder, tmp_path / "base")
    family_of(folder)
    harm(folder / name)
    with pytest.raises(DataError, match=said) as caught:
        family_of(folder)
    assert str(folder / Path(name).parts[0]) in str(caught.value)


def test_pickled_weights_are_not_drawn_from(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "base")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(UsageError, match="contains no safetensors weights of a UNet2DConditionModel"):
        family_of(folder).load_pipeline()


def test_a_tokenizer_that_is_damaged_is_named(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "base")
    for path in (folder / "tokenizer").glob("*.json"):
        path.write_text('{"added_tokens": 3}')
    with pytest.raises(DataError, match="tokenizer cannot be loaded"):
        family_of(folder).load_pipeline()


def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_text("x")
    files = {"../secret": {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}}
    manifest = {"family": "x", "method": "base", "base": None, "prediction": "epsilon", "image_size": 8}
    manifest |= {"training": {}, "libraries": {}, "files": files}
    (tmp_path / "model" / "_model.json").write_text(json.dumps(manifest))
    with (
        pytest.raises(DataError, match=r"names a file outside the folder: '\.\./secret'"),
        local_model(str(tmp_path / "model")),
    ):
        pass
