"""Tries cases in processes of their own, and ends those that do not end."""

import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.fuzz.worker import Outcome, serve

WALL_SECONDS = 240.0
"""Time after which a process is ended; of a case, the processor time is bounded before."""


def try_cases(cases: Iterable[str], *, processes: int, said: Callable[[Outcome], object]) -> None:
    """Tries cases, several at a time.

    Args:
        cases: Kind and number of each.
        processes: How many at a time.
        said: Called with what came of each.
    """
    left, taking = iter(cases), threading.Lock()

    def take() -> Iterator[str]:
        while True:
            with taking:
                case = next(left, None)
            if case is None:
                return
            yield case

    threads = [threading.Thread(target=_work, args=(take(), said)) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(cases: Iterator[str], said: Callable[[Outcome], object]) -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="lesiongen-fuzz-") as root:
        process = None
        for case in cases:
            if process is None:
                ours, theirs = context.Pipe()
                process = context.Process(target=serve, args=(theirs, root), daemon=True)
                process.start()
                theirs.close()
            try:
                ours.send(case)
                if not ours.poll(WALL_SECONDS):
                    raise TimeoutError(f"did not end within {WALL_SECONDS:.0f} s")
                said(ours.recv())
            except (EOFError, OSError) as error:
                process.kill() if isinstance(error, TimeoutError) else None
                process.join(10)
                ended = error if isinstance(error, TimeoutError) else f"the process ended with {process.exitcode}"
                said(Outcome(case, str(ended)))
                process.kill()
                process = None
        if process is not None:
            ours.send("")
            process.join(10)
            process.kill()


class Tally:
    """Counts what came of cases, and keeps the faults."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.slowest: dict[str, tuple[float, str]] = {}
        self.faults: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Counts a case."""
        kind = outcome.case.partition(":")[0]
        self.tried[kind] += 1
        self.refused[kind] += outcome.refused
        self.slowest[kind] = max(self.slowest.get(kind, (0.0, "")), (outcome.seconds, outcome.case))
        if outcome.fault:
            self.faults.append(outcome)

    def text(self) -> str:
        """Returns a line for each kind."""
        lines = []
        for kind, tried in sorted(self.tried.items()):
            faults = sum(outcome.case.startswith(f"{kind}:") for outcome in self.faults)
            seconds, slowest = self.slowest[kind]
            lines.append(
                f"{kind:15} tried {tried:7,}  refused {self.refused[kind]:7,}  faults {faults:4}  "
                f"slowest {seconds:5.1f} s ({slowest})"
            )
        return "\n".join(lines)


def until(cases: Iterable[str], minutes: float) -> Iterator[str]:
    """Yields cases until the time is up."""
    end = time.monotonic() + 60 * minutes
    for case in cases:
        if time.monotonic() > end:
            return
        yield case


def in_folder(case: str) -> Path:
    """Returns a folder with the files of a case, to look at."""
    import random
    from importlib import import_module

    from tests.fuzz.worker import KINDS

    kind, _, number = case.partition(":")
    module, _, function = KINDS[kind].partition(":")
    folder = Path(tempfile.mkdtemp(prefix="lesiongen-case-")) / "work" / "case"
    folder.mkdir(parents=True)
    getattr(import_module(f"tests.fuzz.{module}"), function)(random.Random(f"{kind}:{number}"), folder)
    return folder
