"""Images that all belong together cannot be parted: ingest refuses them, and says why."""

import pytest
from PIL import Image

from lesiongen.errors import DataError
from lesiongen.ingest import IngestConfig, ingest

from .miniatures import picture, write_csv


def _folder(folder, count, *, alike=False, **values):
    rows = [{"file_name": f"{number}.png", "diagnosis": "nv", **values} for number in range(count)]
    write_csv(folder / "metadata.csv", list(rows[0]), rows)
    for number in range(count):
        image: Image.Image = picture(0 if alike else number, (48, 48))
        image.save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("alike", "values", "reason"),
    [
        (True, {}, "all 40 images look alike"),
        (False, {"lesion_id": "L"}, r"all 40 images are of one lesion \(lesion_id\)"),
        (False, {"patient_id": "P"}, r"all 40 images are of one patient \(patient_id\)"),
    ],
)
def test_images_of_one_group_are_refused(tmp_path, alike, values, reason):
    source = _folder(tmp_path / "source", 40, alike=alike, **values)
    config = IngestConfig(format="image_folder")
    with pytest.raises(DataError, match=f"Nothing is left to train on: {reason}"):
        ingest(config, str(source), str(tmp_path / "out"))
    assert not (tmp_path / "out" / "_dataset.json").exists()
    whole = config.model_copy(update={"split_fractions": (0.0, 0.0, 1.0)})
    assert ingest(whole, str(source), str(tmp_path / "test-set")).dataset.splits["test"] == 40
