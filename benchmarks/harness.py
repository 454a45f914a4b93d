"""What every benchmark needs: cases timed in turns, the machine and the versions named, a table printed."""

import gc
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version

import psutil

__all__ = ["machine", "paired", "processor_seconds", "spread", "table", "versions"]


def machine() -> str:
    """Returns the processor, the cores that this process may use, and the memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"


def versions(*packages: str) -> str:
    """Returns the versions of Python and of packages, as ``Python 3.11.9, numpy 2.4.0``."""
    named = [f"{package} {version(package)}" for package in packages]
    return ", ".join([f"Python {platform.python_version()}", *named])


def paired(cases: Mapping[str, Callable[[], object]], pairs: int = 5) -> dict[str, list[float]]:
    """Times cases in turns, so that whatever else the machine does falls on all of them.

    Every case runs once before, for what happens only at first; the order is reversed in every other round.

    Args:
        cases: What to run, by name.
        pairs: Number of rounds.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for run in cases.values():
        run()
    for turn in range(pairs):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            gc.collect()
            started = time.perf_counter()
            cases[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def processor_seconds() -> float:
    """Returns the processor time that this process and its ended children have used, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Returns the median with the least and the greatest value, as ``1.20 (1.10 to 1.45)``."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
