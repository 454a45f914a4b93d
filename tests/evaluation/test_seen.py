"""Test images that the generator's base was trained on are no test: they are found and left out."""

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion.model.folder import model_version, write_manifest
from lesiongen.diffusion.pretraining.seen import write_seen
from lesiongen.errors import DataError
from lesiongen.evaluation.material import load_material
from lesiongen.evaluation.reconstructed import check_synthetic
from lesiongen.evaluation.seen import SeenByBase, seen_by_base
from lesiongen.imaging import encode_png
from lesiongen.model_ancestry import model_at
from lesiongen.records.evaluation import Counts, EvaluationRecord, Source
from lesiongen.records.image_measures import Contamination
from lesiongen.records.model import BaseReference, Training
from lesiongen.records.origin import CaptionOrigin, IngestOrigin, LeaveOutOrigin, SampleOrigin
from lesiongen.registry.lineage import contamination
from lesiongen.storage import open_storage


def picture(number, side=96):
    coarse = np.random.default_rng(number).uniform(40, 230, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def write(path, images, origin=None):
    with DatasetWriter(str(path), name="d", licence="CC0-1.0", attribution=None, origin=origin) as writer:
        for number, (image_id, lesion, image, split) in enumerate(images):
            writer.add(
                Sample(
                    image=encode_png(image),
                    image_id=image_id,
                    lesion_id=lesion,
                    diagnosis=("nv", "mel")[number % 2],
                    split=split,
                )
            )
    return Dataset.open(str(path))


def model(folder, base, method, dataset=None):
    folder.mkdir(exist_ok=True)
    source = None if dataset is None else Source(uri=dataset.uri, version=dataset.manifest.version)
    return write_manifest(
        folder, family="stable-diffusion", method=method, base=base, prediction_type="epsilon", image_size=32,
        training=Training(dataset=source),
    )  # fmt: skip


@pytest.fixture
def trained_on(tmp_path):
    images = [
        ("ISIC_0000001", "HAM_0000001", picture(1), "train"),
        ("own 2", "lesion 2", picture(2), "train"),
        ("ISIC_0000003", None, picture(3), "validation"),
    ]
    return write(tmp_path / "trained-on", images)


@pytest.fixture
def real(tmp_path):
    images = [
        ("ISIC_0000001", "HAM_0000009", picture(11), "test"),
        ("by lesion", "HAM_0000001", picture(12), "validation"),
        ("by picture", "lesion 7", picture(2, side=70), "test"),
        ("own 2", "lesion 2", picture(13), "test"),
        ("ISIC_0000003", "lesion 3", picture(3), "test"),
        ("free", "lesion 8", picture(14), "validation"),
        *((f"train {k}", f"lesion t{k}", picture(20 + k), "train") for k in range(4)),
    ]
    return write(tmp_path / "real", images)


@pytest.fixture
def base(tmp_path, trained_on):
    folder = tmp_path / "base"
    folder.mkdir()
    write_seen(folder, trained_on)
    model(folder, None, "base", trained_on)
    return folder


@pytest.fixture
def synthetic(tmp_path, base, real):
    """Drawn by a generator that was fine-tuned from the base, on the real images."""
    reference = BaseReference(uri=str(base), version=model_version(base))
    model(tmp_path / "generator", reference, "full", real)
    version = model_version(tmp_path / "generator")
    origin = SampleOrigin(stage="sample", model=str(tmp_path / "generator"), model_version=version)
    return write(tmp_path / "synthetic", [(f"s{k}", None, picture(50 + k), "train") for k in range(4)], origin)


SEEN = SeenByBase(validation=("by lesion",), test=("ISIC_0000001", "by picture"))


def test_an_image_is_known_by_an_id_of_the_archive_and_by_its_picture_and_not_by_an_id_of_its_own(real, synthetic):
    assert seen_by_base(real, synthetic) == SEEN


def test_every_copy_of_a_seen_picture_is_found_and_other_pictures_of_its_lesion(synthetic, tmp_path):
    small = picture(2, side=70)
    images = [
        ("copy 1", None, small, "test"),
        ("copy 2", "lesion c", small, "test"),
        ("same lesion", "lesion c", picture(80), "test"),
        ("free", "lesion d", picture(81), "test"),
        ("train", None, picture(82), "train"),
    ]
    assert seen_by_base(write(tmp_path / "copies", images), synthetic).test == ("copy 1", "copy 2", "same lesion")


def test_captions_of_synthetic_images_do_not_hide_their_generator(real, synthetic, tmp_path):
    made_of = {"dataset": synthetic.uri, "dataset_version": synthetic.manifest.version}
    again = [("s0", None, picture(50), "train")]
    assert seen_by_base(real, write(tmp_path / "captioned", again, CaptionOrigin(stage="caption", **made_of))) == SEEN
    changed = CaptionOrigin(stage="caption", **made_of | {"dataset_version": "0" * 64})
    assert "no longer the version" in seen_by_base(real, write(tmp_path / "changed", again, changed)).unknown
    unnamed = SampleOrigin(stage="sample", model=str(tmp_path / "generator"))
    assert "does not name the version" in seen_by_base(real, write(tmp_path / "unnamed", again, unnamed)).unknown


def test_what_was_seen_is_left_out_and_said(real, synthetic, small_config):
    material = load_material(small_config.changed(min_test=2, image_size=32), real, synthetic)
    assert material.test.table["image_id"].tolist() == ["own 2", "ISIC_0000003"]
    assert material.validation.table["image_id"].tolist() == ["free"]
    assert (material.counts.test_seen, material.counts.test_excluded) == (SEEN.test, 0)
    assert [note[:77] for note in material.notes if "base model" in note] == [
        "1 validation images were left out: the base model of the generator was traine",
        "2 test images were left out: the base model of the generator was trained on i",
    ]


def test_what_was_seen_of_a_test_set_from_elsewhere_is_left_out(real, synthetic, small_config, tmp_path):
    images = [
        ("by id", "HAM_0000001", picture(70), "train"),
        ("by picture", "lesion x", picture(2, side=70), "test"),
        ("same lesion", "lesion x", picture(71), "train"),
        *((f"free {k}", f"lesion f{k}", picture(72 + k), "validation") for k in range(3)),
    ]
    sets = {"pad": write(tmp_path / "outside", images)}
    found = load_material(small_config.changed(min_test=2, image_size=32), real, synthetic, test_sets=sets)
    # The lesion of "by id" is also that of a validation image, which the base has seen: left out all the same.
    assert {reason: each.examples for reason, each in found.elsewhere["pad"].left_out.items()} == {
        "lesion_id": ("by id",),
        "base": ("same lesion", "by picture"),
    }
    assert len(found.elsewhere["pad"].images) == 3


def test_the_release_counts_what_was_not_left_out(synthetic, tmp_path):
    """Pixels that the base has seen count, unless the evaluation has left the image out."""
    images = [("train", None, picture(60), "train"), ("twin", None, picture(1), "test")]
    real = write(tmp_path / "with twin", images)
    generator = model_at(str(tmp_path / "generator"), model_version(tmp_path / "generator"))
    evaluation = EvaluationRecord(sources={"real": Source(uri=real.uri, version=real.manifest.version)})
    assert contamination(evaluation, generator) == Contamination(validation=0, test=1)
    left_out = seen_by_base(real, synthetic).test
    assert left_out == ("twin",)
    evaluation = evaluation.changed(counts=Counts(test_seen=left_out))
    assert contamination(evaluation, generator) == Contamination(validation=0, test=0)


def test_images_drawn_by_the_base_itself_are_held_against_its_own_list(real, base, trained_on, tmp_path):
    """Nothing was fine-tuned: the base is the generator, and its dataset need not be there any more."""
    open_storage(trained_on.uri).delete_all()
    origin = SampleOrigin(stage="sample", model=str(base), model_version=model_version(base))
    drawn = write(tmp_path / "drawn", [("s0", None, picture(50), "train")], origin)
    assert seen_by_base(real, drawn) == SEEN
    twin = write(tmp_path / "with twin", [("t", None, picture(60), "train"), ("twin", None, picture(1), "test")])
    evaluation = EvaluationRecord(sources={"real": Source(uri=twin.uri, version=twin.manifest.version)})
    generator = model_at(str(base), model_version(base))
    assert contamination(evaluation, generator) == Contamination(validation=0, test=1)


def test_a_changed_list_leaves_the_contamination_unknown(real, base, caplog):
    (base / "seen.json").write_text('{"images": []}')
    evaluation = EvaluationRecord(sources={"real": Source(uri=real.uri, version=real.manifest.version)})
    assert contamination(evaluation, model_at(str(base), model_version(base))) is None
    assert "seen.json differs" in caplog.text


def test_a_base_that_is_gone_or_changed_is_said_to_be_unknown(real, synthetic, base):
    (base / "_model.json").write_text((base / "_model.json").read_text() + "\n")
    found = seen_by_base(real, synthetic)
    assert (found.test, "no longer the version" in found.unknown) == ((), True)
    assert next(found.notes()).startswith(
        "Whether the base model of the generator has seen the test images is not known"
    )


def test_a_list_that_was_changed_is_an_error(real, synthetic, base):
    (base / "seen.json").write_text('{"images": []}')
    with pytest.raises(DataError, match=r"seen\.json differs"):
        seen_by_base(real, synthetic)


def test_real_images_are_not_taken_for_synthetic_ones(tmp_path, real):
    """A stage of LesionGen says where images are from: unmarked ones of a collection are real."""
    ingested = write(tmp_path / "ingested", [("a", None, picture(70), "train")], IngestOrigin(stage="ingest"))
    with pytest.raises(DataError, match="1 of 1 images are real, not synthetic: a"):
        check_synthetic(ingested)
    left_out = write(tmp_path / "left out", [("b", None, picture(71), "train")], LeaveOutOrigin(stage="leave-out"))
    with pytest.raises(DataError, match="1 of 1 images are real, not synthetic: b"):
        check_synthetic(left_out)
    check_synthetic(real)  # of an origin that is not known


def test_nothing_is_looked_for_where_no_base_lists_anything(real, tmp_path):
    assert seen_by_base(real, real) == SeenByBase()
