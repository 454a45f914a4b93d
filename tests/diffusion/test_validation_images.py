"""Pictures that are drawn as training goes on: seeded, harmless to the training, and never its end."""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from lesiongen.diffusion import finetune, finetuning
from lesiongen.errors import ServiceError
from lesiongen.tracking import StageRun


class Album(StageRun):
    run_id = "album"

    def __init__(self, away=False):
        self.away, self.images = away, {}

    def log_image(self, image, name):
        if self.away:
            raise ServiceError("MLflow does not answer")
        if isinstance(image, Image.Image):
            self.images[name] = np.asarray(image)


def _train(config, dataset_uri, output, monkeypatch, album):
    @contextmanager
    def stage_run(*_):
        yield album

    monkeypatch.setattr(finetuning, "stage_run", stage_run)
    monkeypatch.setattr(finetuning, "_report", lambda *_: None)
    return finetune(config, dataset_uri, str(output))


@pytest.fixture
def drawn(config):
    return config.changed(num_validation_images=3, num_inference_steps=2)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_they_are_seeded_and_change_nothing(drawn, dataset_uri, tmp_path, monkeypatch, method):
    drawn = drawn.changed(method=method)
    first, again = Album(), Album()
    one = _train(drawn, dataset_uri, tmp_path / "one", monkeypatch, first)
    _train(drawn, dataset_uri, tmp_path / "again", monkeypatch, again)
    none = _train(drawn.changed(num_validation_images=0), dataset_uri, tmp_path / "none", monkeypatch, Album())
    assert list(first.images) == ["step-00000003.png", "step-00000006.png"]
    for name, image in first.images.items():
        np.testing.assert_array_equal(image, again.images[name])
    assert not np.array_equal(*first.images.values())
    assert one.losses == none.losses
    assert one.held_out_loss == none.held_out_loss


def test_the_two_encoders_of_xl_are_told_the_captions(drawn, xl_folder, dataset_uri, tmp_path, monkeypatch):
    album = Album()
    settings = drawn.changed(base=str(xl_folder), method="lora", rank=2, max_train_steps=3)
    _train(settings, dataset_uri, tmp_path / "model", monkeypatch, album)
    (sheet,) = album.images.values()
    assert len({sheet[:192, start : start + 192].tobytes() for start in (4, 200, 396)}) == 3


def test_a_tracking_server_that_is_away_costs_pictures_only(drawn, dataset_uri, tmp_path, monkeypatch, caplog):
    result = _train(drawn, dataset_uri, tmp_path / "model", monkeypatch, Album(away=True))
    assert result.steps == 6
    assert caplog.text.count("its images are lost: MLflow does not answer") == 2


def test_one_of_each_diagnosis_comes_first(dataset_uri):
    from lesiongen.dataset import Dataset

    prompts = finetuning._prompts(Dataset.open(dataset_uri), np.arange(4), 3)
    assert prompts == (("mel", "melanoma, dark"), ("nv", "nevus, light"), ("nv", "nevus, light"))
