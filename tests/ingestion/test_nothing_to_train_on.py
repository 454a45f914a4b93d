"""Images that all belong together cannot be parted: ingest refuses them, and says why."""

import pytest
from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from .miniatures import picture, write_csv


def _folder(folder, count, *, alike=False, **values):
    rows = [{"file_name": f"{number}.png", "diagnosis": "nv", **values} for number in range(count)]
    write_csv(folder / "metadata.csv", list(rows[0]), rows)
    for number in range(count):
        image: Image.Image = picture(0 if alike else number, (48, 48))
        image.save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("count", [2, 12, 40])
@pytest.mark.parametrize(
    ("alike", "values", "reason"),
    [
        (True, {}, "look alike"),
        (False, {"lesion_id": "L"}, r"are of one lesion \(lesion_id\)"),
        (False, {"patient_id": "P"}, r"are of one patient \(patient_id\)"),
    ],
)
def test_images_of_one_group_are_refused(tmp_path, alike, values, reason, count):
    source = _folder(tmp_path / "source", count, alike=alike, **values)
    config = IngestConfig(format="image_folder")
    with pytest.raises(DataError, match=f"Nothing is left to train on: all {count} images {reason}"):
        ingest(config, str(source), str(tmp_path / "out"))
    assert not (tmp_path / "out" / "_dataset.json").exists()
    whole = config.changed(split_fractions=(0.0, 0.0, 1.0))
    assert ingest(whole, str(source), str(tmp_path / "test-set")).dataset.splits["test"] == count


def test_one_image_is_a_try(tmp_path):
    config = IngestConfig(format="image_folder")
    assert ingest(config, str(_folder(tmp_path / "one", 1)), str(tmp_path / "out")).accepted == 1


def test_of_two_groups_one_is_left_to_train_on(tmp_path):
    config = IngestConfig(format="image_folder")
    result = ingest(config, str(_folder(tmp_path / "two", 2)), str(tmp_path / "out"))
    assert {split: count for split, count in result.dataset.splits.items() if count} == {"train": 1, "test": 1}


@pytest.mark.parametrize(("patients", "said"), [(2, True), (24, False)])
def test_shares_that_are_far_from_those_asked_for_are_said(tmp_path, patients, said):
    source = tmp_path / "source"
    rows = [{"file_name": f"{n}.png", "diagnosis": "nv", "patient_id": f"P{n % patients}"} for n in range(24)]
    write_csv(source / "metadata.csv", list(rows[0]), rows)
    for number in range(24):
        picture(number, (48, 48)).save(source / f"{number}.png")
    result = ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    words = "train, validation and test hold 50%, 0%, 50% of the images instead of 70%, 10%, 20%"
    assert [words in note for note in result.notes] == ([True] if said else [])


@pytest.mark.parametrize(("lesions", "said"), [(1, True), (8, False)])
def test_classes_without_a_training_image_are_named(tmp_path, lesions, said):
    source = tmp_path / "source"
    rare = [("nv", f"N{n}") for n in range(30)] + [("df", f"D{n}") for n in range(lesions)]
    rows = [
        {"file_name": f"{n}.png", "diagnosis": diagnosis, "lesion_id": lesion, "split": "test" if lesions == 1 else ""}
        for n, (diagnosis, lesion) in enumerate(rare)
    ]
    for row in rows[:30]:
        row["split"] = "train"
    write_csv(source / "metadata.csv", list(rows[0]), rows)
    for number in range(len(rows)):
        picture(number, (48, 48)).save(source / f"{number}.png")
    config = IngestConfig(format="image_folder", keep_official_split=True)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert any("Classes without a training image: df." in note for note in result.notes) == said
    assert ("df" in "".join(Dataset.open(result.dataset.uri).manifest.origin.notes)) == said
