"""What a user reads when a run cannot go on: the stage, the reason, what to do; never a traceback alone."""

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lesiongen.errors import LesionGenError
from lesiongen.stack import Stack
from lesiongen.storage import open_storage
from pipelines.local import run_pipeline
from pipelines.release import ReleaseRequest

pytestmark = pytest.mark.e2e


def _run(phantoms: Path, home: Path, root: str, **values: Any) -> None:
    request = ReleaseRequest(source=str(phantoms), format="image_folder", preset="miniature", root=root, **values)
    run_pipeline(request, home=home, screen=io.StringIO())


def test_a_wrong_key(
    stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, phantoms: Path, s3_root: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong" * 8)
    with pytest.raises(LesionGenError, match="stopped at ingest: .*s3://lesiongen") as failure:
        _run(phantoms, tmp_path, s3_root)
    assert "wrong" * 8 not in str(failure.value)
    assert "--resume" in str(failure.value)


def test_a_missing_bucket(stack_environment: dict[str, str], phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(LesionGenError, match="stopped at ingest: .*no-such-bucket"):
        _run(phantoms, tmp_path, "s3://no-such-bucket/release")


def test_data_that_do_not_pass_stop_the_pipeline_with_the_rows_named(
    stack_environment: dict[str, str], phantoms: Path, s3_root: str, tmp_path: Path
) -> None:
    strict = {"min_side": 512, "severities": {"image_large_enough": "error"}}
    with pytest.raises(LesionGenError, match="stopped at require-passed: .* did not pass") as failure:
        _run(phantoms, tmp_path, s3_root, config={"validate": strict})
    first_row = (phantoms / "metadata.csv").read_text().splitlines()[1].split(",")[0].split("/")[-1].split(".")[0]
    assert first_row in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert not list(open_storage(s3_root).child("models").list()), "training began on data that do not pass"


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "servers")
    stack.up()
    yield stack
    stack.down()


def _steps_of(run: str) -> list[str]:
    """The processes that live and were started as a part of this run, wherever they hang by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LESIONGEN_PIPELINE_RUN") == run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(str(process))
        except psutil.Error:  # it has ended, or is another user's
            continue
    return found


def test_a_server_that_dies_in_mid_run(own_stack: Stack, run_command: Any, phantoms: Path, tmp_path: Path) -> None:
    command = run_command(
        "--home", str(tmp_path / "home"), "--source", str(phantoms), "--format", "image_folder",
        "--preset", "miniature", **own_stack.environment(),
    )  # fmt: skip
    command.wait_for("^ingest: done")
    run = next((tmp_path / "home" / "runs").glob("[!.]*")).name
    until = time.monotonic() + 60
    while not (steps := _steps_of(run)) and time.monotonic() < until:
        time.sleep(0.1)
    assert steps, "the next step never began"
    os.kill(own_stack.status().pids["s3"], signal.SIGKILL)
    started = time.monotonic()
    code, _, errors = command.finish()
    assert code == 1
    last = errors.rpartition("Error:")[2]
    assert "The pipeline stopped at validate" in last
    assert "s3://" in last
    assert "Traceback" not in last
    assert time.monotonic() - started < 120
    assert not _steps_of(run), "steps of the run outlived it"
