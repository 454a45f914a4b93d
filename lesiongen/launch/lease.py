"""The lease of a job that runs on other hosts: an object on S3 by which its launcher keeps it running, or stops it.

No signal reaches the processes there. The launcher renews the object each minute and writes a stop into it; the first
process looks at it. A lease that has not changed for ten minutes means that the launcher is dead. Each side uses its
own clock alone: what counts is that the content changes, never the time in it.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from lesiongen.storage import Storage, open_storage

__all__ = ["LEASE", "Lease", "follow_lease", "held_lease", "stop_this_process"]

logger = logging.getLogger(__name__)

LEASE = "LESIONGEN_JOB_LEASE"
"""Address of the lease's object; absent where the launcher can send signals."""
RENEW_SECONDS = 60.0
LOOK_SECONDS = 5.0
END_SECONDS = 5.0
"""Time for which the end of a lease waits for a renewal that is on its way."""
SILENT_SECONDS = 600.0
"""Time without a renewal after which the launcher counts as dead."""


class Lease:
    """The launcher's side of a lease.

    Args:
        address: ``s3://`` address of the object.
    """

    def __init__(self, address: str) -> None:
        place, _, self.key = address.rpartition("/")
        self.storage = open_storage(place)
        self._stopping = False
        self._stop_written = False
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Writes the object.

        Raises:
            StorageError: It cannot be written.
        """
        with self._lock:
            now = datetime.now(UTC).isoformat()
            self.storage.write_json(self.key, {"state": "stop" if self._stopping else "run", "time": now})
            self._stop_written = self._stopping

    def ask_to_stop(self) -> None:
        """Asks the processes to save their state and end; called again, it tries again what has failed."""
        self._stopping = True
        if not self._stop_written:
            self._try_to_renew()

    def keep(self, ended: threading.Event) -> None:
        """Renews the lease until the event is set."""
        while not ended.wait(RENEW_SECONDS):
            self._try_to_renew()

    def _try_to_renew(self) -> None:
        try:
            self.renew()
        except Exception as error:  # of whatever kind, the next renewal may succeed: no exception may end the thread
            logger.warning("The lease of the job cannot be renewed: %s", _first_line(error))


@contextmanager
def held_lease(address: str) -> Iterator[Lease]:
    """Holds the lease of a job while the block runs; without it the job ends after ten minutes.

    Raises:
        StorageError: It cannot be written.
    """
    lease, ended = Lease(address), threading.Event()
    lease.renew()
    thread = threading.Thread(target=lease.keep, args=(ended,), name="lesiongen-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join(END_SECONDS)


def follow_lease(address: str, stop: Callable[[str], None]) -> None:
    """Polls a lease until it asks for a stop or runs out, and then calls ``stop`` once, with the reason."""
    place, _, key = address.rpartition("/")
    storage: Storage | None = None
    seen, changed, fault = b"", time.monotonic(), ""
    while True:
        try:
            storage = open_storage(place) if storage is None else storage
            content, fault = storage.read_bytes(key), ""
            if content != seen:
                seen, changed = content, time.monotonic()
        except Exception as error:  # of whatever kind: without this thread nothing stops the job
            if not fault:
                logger.warning("The lease of the job cannot be read: %s", _first_line(error))
            fault = _first_line(error)
        if b'"stop"' in seen:
            return stop("The launcher asks the job to stop")
        silent = time.monotonic() - changed
        if silent > SILENT_SECONDS:
            return stop(_why_silent(silent / 60, fault))
        time.sleep(LOOK_SECONDS)


def _why_silent(minutes: float, fault: str) -> str:
    if fault:
        return f"The lease of the job has not been readable for {minutes:.0f} minutes ({fault})"
    return f"The launcher has not renewed the lease of the job for {minutes:.0f} minutes"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def stop_this_process(reason: str) -> None:
    """Logs why, and asks this process to stop as a SIGTERM from outside does: it saves its state first."""
    logger.warning("%s: it saves its state and ends", reason)
    os.kill(os.getpid(), signal.SIGTERM)
