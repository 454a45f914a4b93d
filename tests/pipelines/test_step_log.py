"""What a reader sees of a local run."""

import builtins
import io
import logging
import sys
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from kfp.local import logging_utils

from pipelines.step_log import StepLog, runner_output


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(screen: io.StringIO, tmp_path: Path) -> Iterator[StepLog]:
    log = StepLog(screen, tmp_path / "pipeline.log")
    yield log
    log.close()


def _begin(log: StepLog, stage: str) -> None:
    log.write(
        f"12:00:00.001 - INFO - Executing task \x1b[96m'{stage}'\x1b[0m\n12:00:00.002 - INFO - Streamed logs:\n\n"
    )
    log.write('    [KFP Executor 2026 INFO]: Got executor_input:\n    {\n        "inputs": {}\n    }\n')


def _end(log: StepLog, stage: str, status: str) -> None:
    log.write(f"12:00:09.001 - INFO - Task \x1b[96m'{stage}'\x1b[0m finished with status \x1b[92m{status}\x1b[0m\n")


def test_the_reader_sees_the_steps_own_lines(log: StepLog, screen: io.StringIO) -> None:
    _begin(log, "ingest")
    log.write("    Step ingest started\n    read 10")
    assert "read" not in screen.getvalue()
    log.write("0 of 200 images\n")
    _end(log, "ingest", "SUCCESS")
    log.write("    name='x', uri='/secret'\n---------\n")
    assert screen.getvalue().splitlines() == ["ingest ...", "    read 100 of 200 images", "ingest: done in 0 s"]
    assert log.errors == {}


def test_the_file_keeps_everything(log: StepLog, tmp_path: Path) -> None:
    _begin(log, "ingest")
    log.close()
    assert '"inputs": {}' in (tmp_path / "pipeline.log").read_text()


def test_a_failed_step_is_remembered_with_its_own_words(log: StepLog, screen: io.StringIO) -> None:
    _begin(log, "validate")
    log.write("    Step validate started\n    ERROR [validate] 2 rows repeat\n    ERROR [validate] Remove them.\n")
    _end(log, "validate", "FAILURE")
    assert log.errors == {"validate": ["2 rows repeat", "Remove them."]}
    assert "validate: FAILED after 0 s" in screen.getvalue()


def test_steps_side_by_side_are_told_by_their_own_words(log: StepLog, screen: io.StringIO) -> None:
    _begin(log, "caption")
    _begin(log, "caption")
    log.write(
        "    Step caption started\n    ERROR [caption] part 1 is damaged\n    Step caption started\n    50 images\n"
    )
    _end(log, "caption", "FAILURE")
    log.write("    60 images\n    ERROR [caption] part 2 is damaged\n")
    _end(log, "caption", "FAILURE")
    assert log.errors == {"caption": ["part 1 is damaged", "part 2 is damaged"]}
    assert "    60 images" in screen.getvalue().splitlines()


def test_a_step_that_fails_without_a_word_is_remembered_with_its_last_line(log: StepLog) -> None:
    _begin(log, "finetune")
    log.write("    Step finetune started\n    Traceback (most recent call last):\n    KeyError: 'x'\n")
    _end(log, "finetune", "FAILURE")
    assert log.errors["finetune"] == ["KeyError: 'x'"]


def test_a_step_that_cannot_even_start_is_not_silent(log: StepLog) -> None:
    _begin(log, "sample")
    log.write("    ModuleNotFoundError: No module named 'components'\n")
    _end(log, "sample", "FAILURE")
    assert log.errors["sample"][-1] == "ModuleNotFoundError: No module named 'components'"


def test_a_step_that_is_used_again_is_named(log: StepLog, screen: io.StringIO) -> None:
    log.write("12:00:00.001 - INFO - Task ingest cache hit (key=abc); skipping execution.\n")
    assert screen.getvalue() == "ingest: done before, used again\n"


def test_a_row_of_dashes_is_not_a_line_of_the_step(log: StepLog, screen: io.StringIO) -> None:
    _begin(log, "ingest")
    log.write(f"    Step ingest started\n    {'-' * 80}\n    read 200 images\n{'-' * 80}\n    - a list\n")
    _end(log, "ingest", "SUCCESS")
    words = ["ingest ...", "    read 200 images", "    - a list", "ingest: done in 0 s"]
    assert screen.getvalue().splitlines() == words


def test_lines_of_threads_stay_whole_in_the_log(screen: io.StringIO, tmp_path: Path) -> None:
    """Python's text files lose and mix up what several threads write at once."""
    before = sys.getswitchinterval()
    lines = [[f"    {part} of 4: {number} {'█ü' * 40}" for number in range(2000)] for part in range(4)]
    start = threading.Barrier(4)
    log = StepLog(screen, tmp_path / "shared.log")

    def write(part: int) -> None:
        start.wait()
        for line in lines[part]:
            log.write(line)  # as print does: the line, then its end
            log.write("\n")

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    log.close()
    written = (tmp_path / "shared.log").read_text(encoding="utf-8").splitlines()
    assert sorted(written) == sorted(chain(*lines))


def test_steps_side_by_side_leave_print_and_the_log_of_this_process_as_they_were(
    log: StepLog, screen: io.StringIO
) -> None:
    """The runner's own contexts end in the order that they began in, and put back each other's."""
    before = builtins.print, logging.getLogger().handlers[:], logging.getLogger().level
    entered, first_is_out = threading.Barrier(2), threading.Event()

    def run(stage: str) -> None:
        with logging_utils.local_logger_context():
            logging.info("Executing task %r", stage)
            with logging_utils.indented_print():
                entered.wait()
                if stage == "sample":
                    first_is_out.wait()
                print(f"Step {stage} started")  # noqa: T201 - as the runner does
                print(f"ERROR [{stage}] row 3 is empty")  # noqa: T201
            first_is_out.set()

    with runner_output(log):
        threads = [threading.Thread(target=run, args=(stage,)) for stage in ("caption", "sample")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        logging.info("Task 'sample' finished with status FAILURE")
    assert log.errors == {"caption": ["row 3 is empty"], "sample": ["row 3 is empty"]}
    assert "sample: FAILED" in screen.getvalue()
    assert (builtins.print, logging.getLogger().handlers, logging.getLogger().level) == before
