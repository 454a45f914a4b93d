"""Training in two processes: what one learns, up to rounding; the same again bit for bit; on after a stop."""

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lesiongen.diffusion import finetune, finetuning
from lesiongen.diffusion.latents import encoding_job
from lesiongen.diffusion.stopping import StopRequest
from lesiongen.diffusion.training import training_job
from lesiongen.errors import Interrupted, LesionGenError, StorageError, UsageError
from lesiongen.launch import LocalLauncher, local


class Watching(LocalLauncher):
    """Has the processes of a training write into the folder of `watched`."""

    def run(self, job, stop_requested):
        super().run(replace(job, module="tests.diffusion.watched_job"), stop_requested)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    folder = tmp_path / "watched"
    folder.mkdir()
    monkeypatch.setenv("WATCHED_FOLDER", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    return folder


def _told(folder, kind):
    return {path.stem.split("-")[1]: json.loads(path.read_text()) for path in folder.glob(f"{kind}-*.json")}


def _losses(result):
    return np.array(result.losses, dtype=float)


@pytest.mark.parametrize(
    ("method", "split"),
    [
        ("full", {"batch_size": 2, "gradient_accumulation_steps": 1}),
        ("lora", {"batch_size": 1, "gradient_accumulation_steps": 2}),
    ],
)
def test_two_processes_follow_the_losses_of_one(config, dataset_uri, tmp_path, method, split):
    settings = config.changed(method=method, max_train_steps=4, **split)
    one = finetune(settings, dataset_uri, str(tmp_path / "one"))
    two = finetune(settings.changed(processes=2), dataset_uri, str(tmp_path / "two"))
    np.testing.assert_allclose(_losses(two), _losses(one), rtol=1e-4)
    assert two.held_out_loss == pytest.approx(one.held_out_loss, rel=1e-4)


@pytest.mark.parametrize(
    ("split", "places"),
    [
        ({"batch_size": 4, "gradient_accumulation_steps": 1}, ([0, 1], [2, 3])),
        ({"batch_size": 2, "gradient_accumulation_steps": 2}, ([0, 1], [2, 3])),
    ],
)
def test_processes_share_the_images_of_a_step_and_one_of_them_saves(
    config, dataset_uri, tmp_path, watched, split, places
):
    settings = config.changed(processes=2, max_train_steps=2, **split)
    finetune(settings, dataset_uri, str(tmp_path / "out"), launcher=Watching())
    ranks = _told(watched, "rank")
    assert (ranks["0"]["places"], ranks["1"]["places"]) == places
    for told in ranks.values():
        assert told["processes"] == 2
        assert told["wrapped"] == "DistributedDataParallel"
    assert [path.name for path in watched.glob("saved-by-*")] == ["saved-by-0"]


def test_what_an_earlier_start_left_running_is_ended_before_its_checkpoints_are_deleted(
    config, dataset_uri, tmp_path, monkeypatch
):
    done = []

    class Noting(LocalLauncher):
        def end_earlier(self, module, identity):
            done.append((module.rpartition(".")[2], identity))

        def run(self, job, stop_requested):
            assert done[1:] == ["cleared"]
            assert done[0] == (job.module.rpartition(".")[2], job.identity)
            raise LesionGenError("that is all")

    monkeypatch.setattr(finetuning.CheckpointStore, "clear", lambda _: done.append("cleared"))
    with pytest.raises(LesionGenError, match="that is all"):
        finetune(config, dataset_uri, str(tmp_path / "out"), resume=False, launcher=Noting())


def test_processes_that_did_not_find_each_other_do_not_train(config, dataset_uri, tmp_path):
    class Alone(LocalLauncher):
        def run(self, job, stop_requested):
            super().run(replace(job, processes=1), stop_requested)

    with pytest.raises(Exception, match="1 of 2 processes found each other"):
        finetune(config.changed(processes=2), dataset_uri, str(tmp_path / "out"), launcher=Alone())


def test_the_process_that_waits_does_not_touch_the_gpu(config, dataset_uri, tmp_path, monkeypatch):
    """It is told of a GPU that it cannot use, as on a machine without one: whatever it did there would fail."""
    if torch.cuda.is_available():
        pytest.skip("this process could use the GPU")
    settings = config.changed(processes=2, max_train_steps=2)
    plain = finetune(settings, dataset_uri, str(tmp_path / "plain"))
    monkeypatch.setattr(finetuning, "device_here", lambda: torch.device("cuda"))
    waiting = finetune(settings, dataset_uri, str(tmp_path / "waiting"))
    assert waiting.losses == plain.losses
    assert waiting.held_out_loss == plain.held_out_loss
    with pytest.raises((AssertionError, RuntimeError), match="CUDA"):
        finetune(settings.changed(processes=1), dataset_uri, str(tmp_path / "alone"))


def test_no_process_ends_before_the_state_is_saved(config, dataset_uri, tmp_path, watched, monkeypatch, capfd):
    """torchrun ends the first process half a minute after another has ended, and an upload may take longer."""
    monkeypatch.setenv("WATCHED_SLOWLY", "3")

    def stop_once_it_trains():
        while not (watched / "rank-0.json").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_once_it_trains, daemon=True).start()
    settings = config.changed(processes=2, max_train_steps=100_000)
    with pytest.raises(Interrupted, match="the state is saved in"):
        finetune(settings, dataset_uri, str(tmp_path / "out"), launcher=Watching())
    assert _told(watched, "ended") == {"0": {"saved before": True}, "1": {"saved before": True}}
    assert "ChildFailedError" not in capfd.readouterr().err


def test_a_training_whose_last_checkpoint_cannot_be_read_publishes_nothing(config, dataset_uri, tmp_path, monkeypatch):
    train = training_job.train_in_processes

    def damaged(*arguments):
        train(*arguments)
        for path in tmp_path.rglob("step-*/manifest.json"):
            path.write_text("{}")

    monkeypatch.setattr(finetuning, "train_in_processes", damaged)
    with pytest.raises(StorageError, match="step 2 .* cannot be read"):
        finetune(config.changed(processes=2, max_train_steps=2), dataset_uri, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_processes_that_found_different_checkpoints_do_not_train(config, dataset_uri, tmp_path, watched, monkeypatch):
    """They would go on from the weights of one with the moments and images of the other, and nobody would know."""
    settings, place = config.changed(checkpoint_every=3), tmp_path / "checkpoints"
    finetune(settings, dataset_uri, str(tmp_path / "whole"), checkpoints=str(place))
    for path in next(place.rglob("step-00000006")).iterdir():
        path.unlink()
    monkeypatch.setenv("WATCHED_BLIND", "1")
    both = settings.changed(processes=2)
    with pytest.raises(StorageError, match=r"checkpoints of different steps in .*: \[3, 0\]"):
        finetune(both, dataset_uri, str(tmp_path / "out"), checkpoints=str(place), launcher=Watching())
    assert not list(watched.glob("rank-*")), "a step was taken"


@pytest.mark.parametrize("work", ["training", "encoding"])
def test_a_process_that_a_signal_can_reach_answers_it(config, tmp_path, monkeypatch, work):
    """Its launcher sends one as soon as it knows the process; the default would end it, as if it had failed."""
    handlers = []

    @contextmanager
    def reached():
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise LesionGenError("that is all")
        yield

    monkeypatch.setattr(training_job, "worker", reached)
    monkeypatch.setattr(encoding_job, "worker", reached)
    training = training_job.TrainingJob(
        config=config, base=str(tmp_path), training=str(tmp_path), held_out=None, checkpoints=str(tmp_path)
    )
    with pytest.raises(LesionGenError, match="that is all"):
        if work == "training":
            training_job._train(training.model_dump_json())
        else:
            encoding_job._encode(_encoding().model_dump_json())
    assert handlers != [signal.SIG_DFL]


@pytest.mark.parametrize("processes", [2, 3])
def test_stopped_in_the_middle_processes_end_where_they_would_have(config, dataset_uri, tmp_path, processes):
    settings = config.changed(processes=processes, batch_size=processes, gradient_accumulation_steps=1)
    whole = finetune(settings, dataset_uri, str(tmp_path / "whole"))
    # As if the run had been stopped after its third step: of the checkpoints only that one is left.
    halved = settings.changed(checkpoint_every=3, keep_checkpoints=5)
    place = str(tmp_path / "checkpoints")
    first = finetune(halved, dataset_uri, str(tmp_path / "first"), checkpoints=place)
    newest = next(path for path in (tmp_path / "checkpoints").rglob("step-00000006"))
    for path in newest.iterdir():
        path.unlink()
    resumed = finetune(halved, dataset_uri, str(tmp_path / "resumed"), checkpoints=place)
    assert resumed.resumed_from == 3
    assert resumed.losses == first.losses == whole.losses
    weights = "unet/diffusion_pytorch_model.safetensors"
    contents = [(tmp_path / name / weights).read_bytes() for name in ("whole", "first", "resumed")]
    assert contents[0] == contents[1] == contents[2]


def test_a_step_that_cannot_be_shared_is_refused(config):
    with pytest.raises(UsageError, match="processes = 2 must divide gradient_accumulation_steps = 1"):
        config.changed(processes=2, batch_size=3, gradient_accumulation_steps=1)


def _encoding():
    return encoding_job.EncodingJob(
        dataset="d", base="b", prediction_type=None, image_size=16, flip=True, rotations=False, held_out=(),
        folder=None, shared=None,
    )  # fmt: skip


def test_the_images_are_encoded_in_as_many_threads_wherever_that_is_done(tmp_path):
    """One thread and two give encodings that differ in their last digits, and so losses that do."""
    jobs = []

    class Noting(LocalLauncher):
        def run(self, job, stop_requested):
            jobs.append(job)

    encoding_job.encode_in_a_process(_encoding(), Noting(), StopRequest(), "checkpoints")
    assert [job.threads for job in jobs] == [torch.get_num_threads()]
    variables = local._environment(jobs[0], tmp_path)
    assert variables["OMP_NUM_THREADS"] == str(torch.get_num_threads())
