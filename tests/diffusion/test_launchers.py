"""A training that a launcher runs on another host: all that it reads and leaves goes through addresses."""

import json
import os
import signal
import threading
import time

import pytest

from lesiongen.dataset.copying import copy_dataset
from lesiongen.diffusion import finetune
from lesiongen.errors import DataError, Interrupted, UsageError
from lesiongen.storage import open_storage
from tests.diffusion.elsewhere import Elsewhere


@pytest.fixture
def there(config, dataset_uri, s3_root):
    """A configuration, a dataset and a place for checkpoints that another host can read."""
    copy_dataset(dataset_uri, f"{s3_root}/dataset")
    open_storage(f"{s3_root}/base").upload_folder(open_storage(config.base_model.base).root)
    settings = config.changed(base=f"{s3_root}/base", processes=2, max_train_steps=2)
    return settings, f"{s3_root}/dataset", f"{s3_root}/checkpoints"


def test_on_another_host_a_training_reads_no_file_of_this_one(there, s3_root, tmp_path, monkeypatch):
    settings, dataset, checkpoints = there
    monkeypatch.setenv("LESIONGEN_CACHE", str(tmp_path / "encoded here"))
    here = finetune(settings, dataset, str(tmp_path / "here"), checkpoints=str(tmp_path / "checkpoints"))
    monkeypatch.delenv("LESIONGEN_CACHE")
    jobs = []

    def note(job):
        jobs.append(job)
        assert str(tmp_path) not in job.specification
        assert all(not value.startswith("/") for value in _texts(json.loads(job.specification)))

    launcher = Elsewhere(tmp_path / "host", f"{s3_root}/errors", note)
    elsewhere = finetune(settings, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=launcher)
    assert [job.module.rpartition(".")[2] for job in jobs] == ["encoding_job", "training_job"]
    assert [job.processes for job in jobs] == [1, 2]
    assert elsewhere.losses == pytest.approx(here.losses, rel=1e-4)


def test_what_is_encoded_on_this_host_is_put_where_the_others_find_it(there, s3_root, tmp_path, monkeypatch):
    settings, dataset, checkpoints = there
    monkeypatch.setenv("LESIONGEN_CACHE", str(tmp_path / "encoded here"))
    finetune(settings, dataset, str(tmp_path / "here"), checkpoints=str(tmp_path / "checkpoints"))
    encodings, there_again = open_storage(f"{checkpoints}/caches"), []

    def look(job):
        assert job.module.endswith("training_job")  # no host encodes what is here
        there_again.extend(item.key for item in encodings.list() if item.key.endswith("_cache.json"))

    launcher = Elsewhere(tmp_path / "host", f"{s3_root}/errors", look)
    assert finetune(settings, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=launcher).steps == 2
    assert len(there_again) == 2  # of the training images and of the held-out ones


def test_an_error_on_another_host_comes_back_as_itself(there, s3_root, tmp_path):
    settings, dataset, checkpoints = there

    def damage(job):
        if job.module.endswith("training_job"):
            open_storage(json.loads(job.specification)["base"]).write_text("unet/config.json", "{")

    launcher = Elsewhere(tmp_path / "host", f"{s3_root}/errors", damage)
    with pytest.raises(DataError, match=r"unet/config.json is damaged: .*\nCopy or download the model again"):
        finetune(settings, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=launcher)


def test_a_stop_reaches_another_host(there, s3_root, tmp_path):
    settings, dataset, checkpoints = there

    def stop_once_all_train():
        # A checkpoint is of all processes: one that still starts would end by the signal, and leave nothing.
        while not any("/step-" in item.key for item in open_storage(checkpoints).list()):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    def watch(job):
        if job.module.endswith("training_job"):
            threading.Thread(target=stop_once_all_train, daemon=True).start()

    launcher = Elsewhere(tmp_path / "host", f"{s3_root}/errors", watch)
    endless = settings.changed(max_train_steps=100_000, checkpoint_every=1)
    with pytest.raises(Interrupted, match="the state is saved in s3://"):
        finetune(endless, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=launcher)


@pytest.mark.parametrize("what", ["dataset", "checkpoints", "base"])
def test_a_folder_of_this_host_is_refused_before_anything_is_read(config, what, tmp_path, s3_root):
    places = {name: f"{s3_root}/{name}" for name in ("dataset", "checkpoints", "base")} | {what: str(tmp_path)}
    settings = config.changed(base=places["base"])
    launcher = Elsewhere(tmp_path / "host", f"{s3_root}/errors")
    with pytest.raises(UsageError, match=f"^{what} = {tmp_path} is a folder of this host; the training runs on others"):
        finetune(settings, places["dataset"], f"{s3_root}/out", checkpoints=places["checkpoints"], launcher=launcher)


def _texts(value):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
