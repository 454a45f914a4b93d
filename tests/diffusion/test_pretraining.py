"""A base model of one's own: its parts, what it has seen, and what it leaves out."""

import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion import PretrainConfig, finetune, pretrain
from lesiongen.diffusion.model.folder import check_files, read_manifest
from lesiongen.diffusion.presets import preset
from lesiongen.errors import UsageError
from lesiongen.imaging import content_digest, encode_png
from lesiongen.model_ancestry import ancestors, model_at

SMALL = PretrainConfig(
    name="own-base",
    parts=2,
    steps_per_part=2,
    batch_size=2,
    image_size=16,
    vae_channels=(16, 32),
    unet_channels=(16, 32),
    text_width=16,
    text_layers=1,
    vae_steps=1,
    text_steps=1,
)


def picture(number: int) -> Image.Image:
    """Blotches that no other number has."""
    rng = np.random.default_rng(number)
    coarse = rng.uniform(40, 230, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)


def write(path, name, images, licence="CC0-1.0", lesions=None):
    with DatasetWriter(str(path), name=name, licence=licence, attribution="Nobody") as writer:
        for image_id, (image, split) in images.items():
            writer.add(
                Sample(
                    image=encode_png(image),
                    image_id=image_id,
                    diagnosis="nv",
                    split=split,
                    lesion_id=(lesions or {}).get(image_id, f"lesion {image_id}"),
                    caption="a melanocytic nevus",
                )
            )
    return str(path)


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    images = {f"ISIC_000000{k}": (picture(k), "validation" if k == 7 else "train") for k in range(8)}
    images["copy"] = (picture(5), "train")
    images["same lesion"] = (picture(40), "train")
    return write(tmp_path_factory.mktemp("free") / "ds", "free", images, lesions={"same lesion": "lesion copy"})


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Holds one image of `free` by its id and one, smaller, by its picture; the third is its own."""
    images = {
        "ISIC_0000002": (picture(20), "train"),
        "mine": (picture(5).resize((80, 80), Image.Resampling.LANCZOS), "test"),
        "lesion ISIC_0000001": (picture(21), "test"),
    }
    return write(tmp_path_factory.mktemp("tested") / "ds", "tested", images, licence="CC-BY-NC-4.0")


@pytest.fixture(scope="module")
def built(free, tested, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "base"
    pretrain(SMALL, free, str(output), leave_out=[tested])
    return output


def test_a_base_lists_what_it_has_seen_and_not_what_it_will_be_tested_on(built):
    seen = json.loads((built / "seen.json").read_text())["images"]
    assert [image["image_id"] for image in seen] == [f"ISIC_000000{k}" for k in (0, 1, 3, 4, 6)]
    assert {(image["licence"], image["attribution"]) for image in seen} == {("CC0-1.0", "Nobody")}
    assert seen[3]["pixels_sha256"] == content_digest(picture(4))
    assert load_file(built / "seen.safetensors")["fingerprints"].shape == (5, 4384)
    moved = Dataset.open(f"{built}-parts/dataset")
    assert moved.manifest.origin.left_out == {
        "ISIC_0000002": "id",
        "ISIC_0000005": "picture",
        "copy": "picture",
        "same lesion": "related",
    }


def test_its_files_are_whole_and_in_half_precision_and_its_card_names_licences(built):
    manifest = read_manifest(built)
    check_files(built, manifest)
    assert (manifest.method, manifest.base, manifest.training.steps) == ("base", None, 4)
    assert {value.dtype for value in load_file(built / "unet/diffusion_pytorch_model.safetensors").values()} == {
        np.dtype(np.float16)
    }
    card = (built / "README.md").read_text()
    assert "# own-base" in card
    assert "| free | CC0-1.0 | 5 |" in card
    assert "as they are in tested, too: 4 images" in card


def test_each_part_begins_from_the_one_before(built):
    second = read_manifest(built.parent / "base-parts/part2")
    first = read_manifest(built.parent / "base-parts/part1")
    assert first.training.base_trained_on_own_images
    assert second.base.uri == str(built.parent / "base-parts/part1")
    assert (first.training.config["optimisation"]["lr_scheduler"],
            second.training.config["optimisation"]["lr_scheduler"]) == ("constant", "cosine")  # fmt: skip


def test_a_stopped_call_goes_on_and_a_finished_one_is_refused(built, free, tested, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    shutil.copytree(f"{built}-parts", tmp_path / "again-parts")
    again = pretrain(SMALL, free, str(tmp_path / "again"), leave_out=[tested])
    assert caplog.text.count("This training has ended already") == 2
    assert (tmp_path / "again/seen.json").read_bytes() == (built / "seen.json").read_bytes()
    with pytest.raises(UsageError, match="already"):
        pretrain(SMALL, free, again.uri, leave_out=[tested])


def test_other_images_to_leave_out_need_another_place(built, free, tmp_path):
    other = write(tmp_path / "other", "other", {"ISIC_0000003": (picture(30), "test")})
    shutil.copytree(f"{built}-parts", tmp_path / "base-parts")
    with pytest.raises(UsageError, match="the images of another base model"):
        pretrain(SMALL, free, str(tmp_path / "base"), leave_out=[other])


def test_a_generator_begins_from_it_and_its_ancestor_says_what_it_has_seen(built, free, tmp_path):
    config = preset(
        "miniature", base=str(built), tiny_base=None, image_size=16, max_train_steps=2, held_out_images=0, batch_size=2
    )
    model = finetune(config, free, str(tmp_path / "generator")).model
    (ancestor,) = ancestors(model_at(model.uri, model.version).manifest)
    assert ancestor.storage.uri == str(built)
    assert [image.image_id for image in ancestor.seen().images][:2] == ["ISIC_0000000", "ISIC_0000001"]


def test_without_parts_nothing_is_trained(free, tmp_path):
    with pytest.raises(UsageError, match="parts = 0"):
        pretrain(SMALL.changed(parts=0), free, str(tmp_path / "base"))
