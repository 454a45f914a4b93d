"""The log of a job's first node, as it is written, among the lines of this process."""

import logging
import threading
from collections import deque
from collections.abc import Iterable

from lesiongen.errors import LesionGenError
from lesiongen.launch.trainjob_cluster import Cluster
from lesiongen.launch.worker import TAIL_LINES

__all__ = ["NodeLog"]

logger = logging.getLogger(__name__)
AGAIN_SECONDS = 2.0
FINISH_SECONDS = 2.0


class NodeLog:
    """Follows the log of a pod, and of the one that replaces it.

    A connection that breaks is opened again. The log is then read from its beginning, and as many lines as were seen
    are left out.

    Args:
        cluster: Where the pod runs.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.last: deque[str] = deque(maxlen=TAIL_LINES)
        """The last lines."""
        self._pod: str | None = None
        self._seen = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lesiongen-log", daemon=True)

    def follow(self, pod: str) -> None:
        """Begins to follow the log of a pod that has started; called again with the same, it changes nothing."""
        with self._lock:
            if pod == self._pod:
                return
            first, self._pod, self._seen = self._pod is None, pod, 0
        if first:
            self._thread.start()

    def finish(self) -> None:
        """Reads what is left of it, once the pod has ended."""
        self._ended.set()
        if self._pod is None:
            return
        self._thread.join(FINISH_SECONDS)
        try:
            self._read(self._pod, follow=False)
        except LesionGenError as error:
            logger.debug("%s", error)

    def _follow(self) -> None:
        while self._pod is not None and not self._ended.is_set():
            try:
                self._read(self._pod, follow=True)
            except LesionGenError as error:
                logger.debug("The log is opened again: %s", error)
            self._ended.wait(AGAIN_SECONDS)

    def _read(self, pod: str, *, follow: bool) -> None:
        rest, passed = b"", 0
        for piece in self.cluster.log(pod, follow=follow):
            *lines, rest = (rest + piece).split(b"\n")
            passed = self._take(pod, lines, passed)
        if rest and not follow:
            self._take(pod, [rest], passed)

    def _take(self, pod: str, lines: Iterable[bytes], passed: int) -> int:
        """Logs the lines of a pod that were not seen yet; returns how many of its log have passed."""
        with self._lock:
            for line in lines:
                passed += 1
                if passed > self._seen and pod == self._pod:
                    self._seen = passed
                    text = line.decode("utf-8", "replace").rstrip("\r")
                    self.last.append(text)
                    logger.info("%s", text)
        return passed
