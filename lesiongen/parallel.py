"""Work on all cores, in order and with few items in memory."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Generic, TypeVar

from lesiongen.errors import LesionGenError
from lesiongen.safe_path import safe_path

__all__ = ["SMALL", "in_processes", "use_own_cores"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_ENVIRONMENT = {
    # On n cores each of the n processes would start n threads as it imports numpy, which takes longer than all else
    # that it imports.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # glibc else gives the memory of large arrays back and takes it again for each: a third of the time of their steps.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""What the processes are started with, unless the environment says otherwise."""
SMALL = 8 << 20
"""Bytes of images that one process has examined before others have started."""
AHEAD = 3
"""Items drawn for each process before the oldest result was taken."""
HANDED_OUT = 2
"""Items that each other process has at a time: one to work on, and the next one."""


def in_processes(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    processes: int | None = None,
    size: Callable[[_Item], int] = lambda _: 0,
    most: int = 0,
) -> Generator[_Result]:
    """Yields ``work(item)`` for every item, in order, computed by this process and others.

    Items are drawn as they are needed: a few for each process are held, whatever their number. An error of ``work``
    ends the iteration and is raised as it is. Each of the others computes in a single thread, unless the environment
    says otherwise.

    Args:
        work: A function of a module; it, the items and the results are pickled.
        items: What to work on; make one worth some hundredths of a second at least.
        processes: How many, this one included; by default one for each core that it may use, a container's limit
            included. With one, nothing is started.
        size: The size of an item.
        most: Items whose sizes together exceed this are not held at a time; a single one may be larger.

    Raises:
        LesionGenError: One of the other processes cannot be started, or was killed.
    """
    # The processes import this file, and need neither joblib nor what it imports.
    from joblib import cpu_count

    count = cpu_count() if processes is None else processes
    if count == 1:
        yield from map(work, items)
        return
    with _told_if_none_starts():
        pool = _started(work, count - 1)
    try:
        shared = _SharedWork(work, pool, HANDED_OUT * (count - 1))
        for item in items:
            while len(shared) and shared.size + size(item) > most:
                yield shared.oldest_result()
            shared.add(item, size(item))
            if len(shared) > AHEAD * count:
                yield shared.oldest_result()
        while len(shared):
            yield shared.oldest_result()
    except BrokenExecutor as error:
        raise LesionGenError(
            "A worker process was killed, probably out of memory",
            hint="Give the job more memory, or fewer cores: each has a process of its own.",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _told_if_none_starts() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LesionGenError(
            f"A worker process cannot be started: {error.strerror or error}",
            hint="Give the job more memory and open files (ulimit -n), or fewer cores: each has a process.",
        ) from error


def _started(work: Callable[[_Item], _Result], others: int) -> Executor:
    # Forked children would share the locks of threads that they do not have.
    context = multiprocessing.get_context("spawn")
    with _environment(), safe_path():
        pool = ProcessPoolExecutor(others, mp_context=context, initializer=_end_with_parent, initargs=(work,))
        # They start while the first item is being made, which may take as long.
        for _ in range(others):
            pool.submit(int)
    return pool


class _SharedWork(Generic[_Item, _Result]):
    """Items in order, on which other processes work and this one while it waits for them.

    Args:
        work: What to do.
        others: The other processes.
        most: How many items they are given at a time.
    """

    def __init__(self, work: Callable[[_Item], _Result], others: Executor, most: int) -> None:
        self._work = work
        self._others = others
        self._most = most
        self._taken: deque[Future[_Result]] = deque()
        self._waiting: deque[_Item] = deque()
        self._sizes: deque[int] = deque()

    @property
    def size(self) -> int:
        """Size of the items whose results were not taken."""
        return sum(self._sizes)

    def __len__(self) -> int:
        return len(self._taken) + len(self._waiting)

    def add(self, item: _Item, size: int) -> None:
        self._waiting.append(item)
        self._sizes.append(size)
        self._hand_out()

    def oldest_result(self) -> _Result:
        """Returns the oldest result; rather than wait for it, this process does the next item itself."""
        while not (self._taken and self._taken[0].done()) and self._waiting:
            self._taken.append(self._done_here(self._waiting.popleft()))
            self._hand_out()
        self._sizes.popleft()
        return self._taken.popleft().result()

    def _hand_out(self) -> None:
        busy = sum(not future.done() for future in self._taken)
        for _ in range(min(self._most - busy, len(self._waiting))):
            self._taken.append(self._others.submit(self._work, self._waiting.popleft()))

    def _done_here(self, item: _Item) -> Future[_Result]:
        """An error waits for its turn, as those of the others do."""
        future: Future[_Result] = Future()
        try:
            future.set_result(self._work(item))
        except Exception as error:
            future.set_exception(error)
        return future


def use_own_cores() -> None:
    """Has torch compute in no more threads than this process may use cores, and in that many each time.

    A container that may use two cores of sixty-four sees all of them, and so does torch: its threads would wait for one
    another most of the time. Their number is set even where it stays: MKL else takes fewer where it sees fit, and with
    the number of threads the order of sums changes, and with that the last digits.
    """
    import torch
    from joblib import cpu_count

    torch.set_num_threads(min(cpu_count(), torch.get_num_threads()))


@contextmanager
def _environment() -> Iterator[None]:
    """Processes started meanwhile are started with `_ENVIRONMENT`."""
    added = [name for name in _ENVIRONMENT if name not in os.environ]
    os.environ.update({name: _ENVIRONMENT[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _end_with_parent(_: Callable[[_Item], _Result]) -> None:
    """A worker whose parent was killed would wait for work for ever: it holds both ends of the pipe.

    That it is given the work has its module imported before there is any.
    """
    # Ctrl-C reaches every process of a terminal: the parent answers it, and ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
