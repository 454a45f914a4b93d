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


_NOTHING = (b"", 0)


class _Place:
    """Where one reading of a log is."""

    def __init__(self) -> None:
        self.last = _NOTHING
        """Time of the line that was read last, and its number among the lines of that time."""
        self._new = False

    def is_behind(self, stamp: bytes, seen: tuple[bytes, int]) -> bool:
        """Goes on by a line; tells whether it comes after one that was seen, as all do that follow such a line.

        The clock of a node may be set back: later lines then have earlier times.
        """
        self.last = (stamp, self.last[1] + 1 if stamp == self.last[0] else 0)
        self._new = self._new or self.last > seen
        return self._new


class NodeLog:
    """Follows the log of a pod, and of the one that replaces it.

    A connection that breaks is opened again. The log is then read from its beginning, and lines up to the last one that
    was seen are left out, by their times: their number would not do, since a node rotates long logs. Lines of one time,
    as CRI-O gives all that it reads at once, are distinguished by their order.

    Args:
        cluster: Where the pod runs.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.last: deque[str] = deque(maxlen=TAIL_LINES)
        """The last lines."""
        self._pod: str | None = None
        self._seen = _NOTHING
        """Time of the last line, of a fixed width, and its number among the lines of that time."""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="lesiongen-log", daemon=True)

    def follow(self, pod: str) -> None:
        """Begins to follow the log of a pod that has started; called again with the same, it changes nothing."""
        with self._lock:
            if pod == self._pod:
                return
            first, self._pod, self._seen = self._pod is None, pod, _NOTHING
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
        rest, place = b"", _Place()
        for piece in self.cluster.log(pod, follow=follow):
            *lines, rest = (rest + piece).split(b"\n")
            self._take(pod, lines, place)
        if rest and not follow:
            self._take(pod, [rest], place)

    def _take(self, pod: str, lines: Iterable[bytes], place: "_Place") -> None:
        """Logs the lines of a pod that were not seen yet."""
        with self._lock:
            for line in lines:
                stamp, _, content = line.partition(b" ")
                if place.is_behind(stamp, self._seen) and pod == self._pod:
                    self._seen = place.last
                    text = content.decode("utf-8", "replace").rstrip("\r")
                    self.last.append(text)
                    logger.info("%s", text)
