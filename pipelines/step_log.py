"""What a local run prints: the steps' own lines, without the runner's; everything goes to the run's log file."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TextIO

from kfp.local import logging_utils

from components.step import ERROR_PREFIX, STARTED
from lesiongen.redaction import shown

__all__ = ["StepLog", "runner_output"]

_NUMBER = re.compile(r"-\d+$")
"""What a pipeline appends to the name of a step that it has several times."""
_COLOUR = re.compile(r"\x1b\[\d+m")
_EXECUTING = re.compile(r"Executing task '([\w-]+)'")
_FINISHED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")
_CACHED = re.compile(r"Task ([\w-]+) cache hit")
_ERROR = re.compile(re.escape(ERROR_PREFIX).replace(re.escape("{stage}"), r"([\w-]+)") + "(.*)")
_SEPARATOR = re.compile(r"\s*-{10,}\s*")
"""What the runner writes between the outputs of steps."""
_INDENT = "    "
_TAIL_LINES = 25


class StepLog:
    """A text stream that replaces standard output while ``kfp.local`` runs a pipeline.

    Steps side by side are run by a thread each, all of which write here.

    Args:
        screen: Where the lines for the reader go.
        file: The run's log; takes every line as it came, but for secrets.
    """

    def __init__(self, screen: TextIO, file: Path) -> None:
        self.errors: dict[str, list[str]] = {}
        """The error lines of every step that failed; the last lines of its output where it gave none."""
        self._screen, self._file = screen, file.open("a", encoding="utf-8")
        # No line of one thread ends in that of another, and a text file loses what two threads write at once.
        self._of_thread, self._lock = threading.local(), threading.Lock()
        self._stage, self._speaking = "", False
        self._running: dict[str, list[float]] = {}
        self._tail: list[str] = []

    def write(self, text: str) -> int:
        """Takes a piece of output; complete lines are sorted at once."""
        *lines, self._of_thread.pending = (getattr(self._of_thread, "pending", "") + text).split("\n")
        indent = getattr(self._of_thread, "indent", "")
        with self._lock:
            for line in lines:
                self._take(indent + line)
        return len(text)

    @contextmanager
    def step_output(self) -> Iterator[None]:
        """Indents what this thread writes, which marks it as the output of a step."""
        self._of_thread.indent = _INDENT
        try:
            yield
        finally:
            self._of_thread.indent = ""

    def flush(self) -> None:
        """Flushes the screen and the file."""
        with self._lock:
            self._screen.flush()
            self._file.flush()

    def isatty(self) -> bool:
        """Returns False: what is written passes through a filter."""
        return False

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _take(self, line: str) -> None:
        line = shown(_COLOUR.sub("", line.rstrip()))
        if not line:
            return
        self._file.write(line + "\n")
        if _SEPARATOR.fullmatch(line):
            return
        if found := _EXECUTING.search(line):
            self._begin(found[1])
        elif found := _FINISHED.search(line):
            self._end(found[1], found[2])
        elif found := _CACHED.search(line):
            self._say(f"{found[1]}: done before, used again")
        elif line.startswith(_INDENT) and self._stage:
            self._from_step(line.removeprefix(_INDENT))

    def _begin(self, stage: str) -> None:
        self._stage, self._speaking, self._tail = stage, False, []
        self._running.setdefault(stage, []).append(time.monotonic())
        self._say(f"{stage} ...")

    def _end(self, stage: str, status: str) -> None:
        # Steps of one name run side by side: which of them ended is not said.
        started = self._running.get(stage) or [time.monotonic()]
        took = time.monotonic() - started.pop(0)
        if status == "SUCCESS":
            self._say(f"{stage}: done in {took:.0f} s")
        else:
            # A traceback is on the screen already, unless the step ended before its first word.
            self.errors.setdefault(stage, self._tail[-1 if self._speaking else -_TAIL_LINES :])
            self._say(f"{stage}: FAILED after {took:.0f} s")
        if not any(self._running.values()):
            self._stage = ""

    def _from_step(self, line: str) -> None:
        if found := _ERROR.match(line):
            self.errors.setdefault(found[1], []).append(found[2])
        elif line == STARTED.format(stage=_NUMBER.sub("", self._stage)):
            self._speaking, self._tail = True, []
        else:
            self._tail.append(line)
            # Before its first word a step's output is the executor's account of its inputs.
            if self._speaking:
                self._say(f"{_INDENT}{line}")

    def _say(self, text: str) -> None:
        self._screen.write(text + "\n")
        self._screen.flush()


@contextmanager
def runner_output(log: StepLog) -> Iterator[None]:
    """Sends what ``kfp.local`` prints and logs to a `StepLog`, for the length of the block.

    Its own contexts exchange ``print`` and the handlers of the root logger for all threads, and put back what each of
    them found: after steps side by side, lines are indented twice or not at all, for good. Ours stand in for them.
    """
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    level, handlers = root.level, root.handlers[:]
    own = logging_utils.indented_print, logging_utils.local_logger_context
    logging_utils.indented_print, logging_utils.local_logger_context = log.step_output, nullcontext
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        with redirect_stdout(log):
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
        logging_utils.indented_print, logging_utils.local_logger_context = own
