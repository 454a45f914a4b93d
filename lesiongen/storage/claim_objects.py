"""The claim to a prefix on S3: an object of each writer, on servers too that ignore conditional writes.

A writer puts an object of its own, then lists all of them. Only a writer that sees no other continues: of two writers
the later one to put sees the object of the earlier. Who sees another takes its own away and looks, a moment later,
whether the other stays; two that met by chance try again. The object is renewed while its writer lives. One that is not
renewed for `STALE_SECONDS`, or whose process is known to be dead, no longer counts. Times are the server's or
durations, never two clocks compared.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lesiongen.errors import StorageError
from lesiongen.owner import Owner, this_process
from lesiongen.storage.claims import occupied, overtaken
from lesiongen.storage.interface import Claim, Storage, StoredObject

__all__ = ["CLAIMS", "claiming_by_object"]

logger = logging.getLogger(__name__)
CLAIMS = "_claims"
"""Folder of the claims below the place that is claimed."""
RENEW_SECONDS = 20.0
STALE_SECONDS = 180.0
"""Time without a renewal after which a claim whose process cannot be asked no longer counts."""
LOOK_SECONDS = (0.5, 1.5)
"""A random time between two looks at another's claim: writers that met must not meet again."""
ROUNDS = 20
_live: set[str] = set()
"""The claims that this process holds or tries to hold; another of its own is one that it could not remove."""
LONGEST_REQUEST_SECONDS = 30.0
"""Time for which the end of a claim waits for a renewal that is on its way to a server that does not answer."""


@contextmanager
def claiming_by_object(storage: Storage) -> Iterator[Claim]:
    """Holds a claim to a storage; see `lesiongen.storage.claims.claimed`."""
    claim = _ObjectClaim(storage)
    claim.acquire()
    thread = threading.Thread(target=claim.keep, name="lesiongen-claim", daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        claim.ended.set()
        thread.join(timeout=LONGEST_REQUEST_SECONDS)
        claim.withdraw()


@dataclass(frozen=True)
class _Other:
    """The claim of another writer, as it was seen."""

    key: str
    modified: float
    owner: Owner | None


class _ObjectClaim(Claim):
    def __init__(self, storage: Storage) -> None:
        self.uri, self.place = storage.uri, storage.child(CLAIMS)
        self.key = ""
        self.ended = threading.Event()
        self._lost = False
        self._stale: set[str] = set()

    def acquire(self) -> None:
        other = None
        for _ in range(ROUNDS):
            other = self._try()
            if other is None:
                return
            self._await_end(other)
        raise occupied(self.uri, other.owner if other else None)

    def check(self, *, ask: bool = False) -> None:
        if self._lost or (ask and not self.place.exists(self.key)):
            raise overtaken(self.uri)

    def keep(self) -> None:
        """Renews the claim until it ends or another writer has removed it."""
        while not self.ended.wait(RENEW_SECONDS):
            try:
                if not self.place.exists(self.key):
                    self._lost = True
                    return
                self._write()
            except StorageError as error:
                logger.debug("The claim to %s is not renewed: %s", self.uri, error)

    def _write(self) -> None:
        self.place.write_json(self.key, this_process().plain())

    def _try(self) -> _Other | None:
        """Claims the place, and gives way where there is another; returns that one."""
        self.key = f"{secrets.token_hex(8)}.json"
        _live.add(self.key)
        try:
            self._write()
            if (other := self._another()) is None:
                return None
        except BaseException:
            self.withdraw()
            raise
        self.withdraw()
        return other

    def _another(self) -> _Other | None:
        """Returns a claim that counts beside this one; those that do not are removed."""
        listed = {item.key: item for item in self.place.list()}
        now = listed[self.key].modified if self.key in listed else None
        for key in sorted(listed.keys() - {self.key}):
            other = self._seen(listed[key])
            if self._is_dead(other, now):
                logger.info("The writer of %s is gone (%s); this one takes over", self.uri, other.owner)
                self.place.delete(key)
                self.taken_over = True
            else:
                return other
        return None

    def _is_dead(self, other: _Other, now: float | None) -> bool:
        lives = _lives(other)
        if lives is not None:
            return not lives
        return other.key in self._stale or (now is not None and now - other.modified > STALE_SECONDS)

    def _seen(self, item: StoredObject) -> _Other:
        owner = None
        with suppress(StorageError):  # it was taken away meanwhile
            owner = Owner.parse(self.place.read_json(item.key))
        return _Other(item.key, item.modified or 0.0, owner)

    def _await_end(self, other: _Other) -> None:
        """Returns once a claim is gone or stale.

        Raises:
            UsageError: Its writer lives.
        """
        began = time.monotonic()
        while True:
            time.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311  nothing secret
            there = next((item for item in self.place.list(other.key)), None)
            if there is None:
                return
            lives = _lives(other)
            if lives is False:
                return
            if lives or there.modified != other.modified:
                raise occupied(self.uri, other.owner)
            if time.monotonic() - began > STALE_SECONDS:
                self._stale.add(other.key)
                return

    def withdraw(self) -> None:
        """Gives the claim back; what cannot be removed from the server counts no longer in this process."""
        _live.discard(self.key)
        with suppress(StorageError):
            self.place.delete(self.key)


def _lives(other: _Other) -> bool | None:
    """Tells whether the writer behind a claim is still at work; None where that cannot be known from here."""
    if other.owner is None:
        return None
    return other.key in _live if other.owner.is_this_process() else other.owner.lives()
