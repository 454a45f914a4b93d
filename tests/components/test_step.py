"""What the steps share."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.step import log_completion, publish, publish_result, step, uri_of
from lesiongen.config import StageConfig
from lesiongen.errors import DataError, UsageError
from lesiongen.references import DatasetReference


class _Settings(StageConfig):
    steps: int = 4
    base: str = "tiny"


def _artifact(path: Path) -> Any:
    return SimpleNamespace(path=str(path), metadata={})


def _dataset(version: str = "abc") -> DatasetReference:
    return DatasetReference(uri="s3://b/d", version=version, rows=3, splits={"train": 3}, classes={"nv": 3})


def test_a_published_reference_is_read_back_by_the_next_step(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path / "deep" / "dataset")
    publish(_dataset(), artifact, source="images")
    assert uri_of(artifact) == "s3://b/d"
    assert artifact.metadata["rows"] == 3
    assert artifact.metadata["source"] == "images"


def test_an_artifact_without_a_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no reference"):
        uri_of(_artifact(tmp_path / "nothing"))


def test_a_result_is_written_as_json(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Result:
        version: str
        where: Path

    artifact = _artifact(tmp_path / "deep" / "result")
    publish_result(Result("3", Path("x")), artifact)
    assert json.loads(Path(artifact.path).read_text()) == {"version": "3", "where": "x"} == artifact.metadata


def test_metadata_are_what_the_launcher_takes(tmp_path: Path) -> None:
    """A null at the top level fails the step after it has acted; NaN is no JSON; a boolean comes back as a number."""

    @dataclass(frozen=True)
    class Result:
        champion: str | None
        promoted: bool
        gap: float
        inner: dict[str, object]

    artifact = _artifact(tmp_path / "result")
    publish_result(Result(None, True, float("nan"), {"before": None, "low": float("inf")}), artifact)
    assert artifact.metadata == {"promoted": 1, "inner": {"before": None, "low": None}}
    assert type(artifact.metadata["promoted"]) is int
    assert json.loads(Path(artifact.path).read_text())["champion"] is None


def test_the_last_step_has_a_run_by_which_finish_knows_it_and_no_other_step_needs_mlflow(
    monkeypatch: pytest.MonkeyPatch, unused_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_endpoint)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    log_completion("require-passed", final=False)
    assert not caplog.text
    log_completion("require-passed", final=True)
    assert "The end of the pipeline is not tracked: The MLflow server at" in caplog.text


def _run(body: str) -> subprocess.CompletedProcess[str]:
    program = f"from components.step import step\nimport lesiongen.errors as e\nwith step('ingest'):\n    {body}\n"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_a_user_error_ends_the_step_with_its_words_and_its_code() -> None:
    done = _run("raise e.DataError('row 3 of t.csv is empty', hint='Fill it.')")
    assert done.returncode == DataError.exit_code
    assert done.stdout.splitlines() == [
        "Step ingest started",
        "ERROR [ingest] row 3 of t.csv is empty",
        "ERROR [ingest] Fill it.",
    ]
    assert "Traceback" not in done.stderr + done.stdout


def test_an_interrupted_step_says_start_me_again() -> None:
    assert _run("raise e.Interrupted('saved at step 3')").returncode == 75


def test_a_step_that_gets_sigterm_cleans_up_and_says_so() -> None:
    body = "import os; os.kill(os.getpid(), 15)"
    done = _run(body)
    assert done.returncode == 143
    assert done.stdout.splitlines()[-1] == "ERROR [ingest] Interrupted by SIGTERM. Nothing unfinished was published."


def test_a_full_disk_is_a_sentence() -> None:
    done = _run("import errno; raise OSError(errno.ENOSPC, 'No space left on device', 'shard-3.parquet')")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].startswith("ERROR [ingest] A file cannot be written: shard-3.parquet: No space")
    assert "Traceback" not in done.stderr + done.stdout


def test_what_a_library_raises_of_an_interruption_is_one() -> None:
    done = _run(
        "import os\n    try: os.kill(os.getpid(), 15)\n    except KeyboardInterrupt: raise RuntimeError('pool')"
    )
    assert done.returncode == 143
    assert done.stdout.splitlines()[-1] == "ERROR [ingest] Interrupted by SIGTERM. Nothing unfinished was published."
    assert "Traceback" not in done.stderr + done.stdout


def test_a_mistake_in_the_code_keeps_its_traceback() -> None:
    done = _run("raise KeyError('x')")
    assert done.returncode == 1
    assert "KeyError: 'x'" in done.stderr


def test_only_our_own_log_lines_are_shown() -> None:
    body = "import logging; logging.getLogger('lesiongen.x').info('seen'); logging.getLogger('urllib3').info('not')"
    assert _run(body).stdout.splitlines() == ["Step ingest started", "seen"]


def test_step_does_not_swallow_anything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, step("caption"):
        raise UsageError("no")
    assert ended.value.code == 2


def test_the_steps_that_read_no_dataset_load_none() -> None:
    program = "import sys, components.step; print(sorted({'pyarrow', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
