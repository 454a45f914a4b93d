"""The lease on a registered model: one command at a time changes it, and the next one replaces a dead one.

MLflow's store has no compare-and-set. It has one exclusive step: a registered model's name can be created once. Lease
number n is the registered model ``<name>.promotion-lock.n``. A tag of the model itself says that lease n has ended; the
next command creates n + 1. No number is used twice. Whoever is late therefore cannot take away the lease of another: it
finds that its number has ended, and tries the next one.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lesiongen.errors import ServiceError
from lesiongen.mlflow_server import service_errors
from lesiongen.owner import Owner, this_process
from lesiongen.registry.chain import event_number
from lesiongen.registry.tags import (
    LEASE_TAG,
    LOCK_SUFFIX,
    found,
    tag_number,
    whoami,
)

__all__ = ["Lease", "lease"]

logger = logging.getLogger(__name__)
OWNER_TAG, BEAT_TAG = "lesiongen.owner", "lesiongen.heartbeat"
BEAT_SECONDS = 5.0
"""Time between two heartbeats of a holder."""
UNSURE_SECONDS = 15.0
"""A holder whose last heartbeat is older asks the server whether the lease is still its own."""
DEAD_SECONDS = 30.0
"""A holder whose heartbeat did not change for so long, by the clock of the one that watches, is dead."""
WAIT_SECONDS = 60.0
"""How long to wait for a living holder."""
POLL_SECONDS = 0.2
SEARCH_LIMIT = 1000


@dataclass
class Lease:
    """A lease that this process holds.

    Attributes:
        client: The MLflow client.
        name: The registered model.
        number: Number of the lease, higher than that of all before it.
        left_behind: Numbers of earlier leases whose commands died, or did not learn how they ended.
        model: The registered model, with its tags and aliases, as it was when the lease began.
        changed: Whether this command has begun to change the model.
    """

    client: Any
    name: str
    number: int
    left_behind: tuple[int, ...]
    model: Any
    changed: bool = False
    _confirmed: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _heart: threading.Thread | None = None

    def start(self) -> None:
        """Begins to write heartbeats, from a thread."""
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def confirm(self) -> None:
        """Checks that no other command has taken the lease over; asks the server only after a long silence.

        Raises:
            ServiceError: Another command has taken it over, as this one seemed dead.
        """
        asked = _awake()
        if asked - self._confirmed < UNSURE_SECONDS:
            return
        if _last_ended(_model(self.client, self.name).tags) >= self.number:
            message = f"Another command took {self.name} over, because this one did not answer for too long."
            raise ServiceError(message, hint=f"See what was done (lesiongen history {self.name}), then repeat.")
        self._confirmed = asked

    def end(self, *, clean: bool) -> None:
        """Ends the lease. One that is left behind makes the next command look at what became of this one."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        try:
            _set_ended(self.client, self.model, self.number)
            if clean:
                for number in (*self.left_behind, self.number):  # its own last: that is the end of the command
                    _delete(self.client, self.name, number)
        except ServiceError as error:  # what was done is kept
            logger.warning("The lease on %s was left behind; the next command ends it: %s", self.name, error)

    def _beat(self) -> None:
        count, lease_name = 0, _lease_name(self.name, self.number)
        while not self._stop.wait(BEAT_SECONDS):
            count, sent = count + 1, _awake()
            try:
                with service_errors():
                    self.client.set_registered_model_tag(lease_name, BEAT_TAG, str(count))
                # After a long silence another command may have taken over, and this lease is still there to be written
                # to: `confirm` asks.
                if _awake() - self._confirmed < UNSURE_SECONDS:
                    self._confirmed = sent
            except ServiceError as error:
                logger.debug("A heartbeat of %s was lost: %s", lease_name, error)


@contextmanager
def lease(client: Any, name: str, command: str) -> Iterator[Lease]:
    """Lets one command at a time change the versions, aliases and history of a registered model.

    Args:
        client: The MLflow client.
        name: The registered model, which exists.
        command: What the lease is for, shown to those who wait.

    Yields:
        The lease; it ends with the block.

    Raises:
        ServiceError: Another command holds the lease for a minute, or the MLflow server does not answer.
    """
    held = _take(client, name, command)
    held.start()
    clean = False
    try:
        yield held
        clean = True
    finally:
        held.end(clean=clean or not held.changed)


def _take(client: Any, name: str, command: str) -> Lease:
    owner, watch, deadline = _owner(command), _Watch(), time.monotonic() + WAIT_SECONDS
    while True:
        number, began = _last_ended(_model(client, name).tags) + 1, _awake()
        if not _created(client, name, number, owner):
            _await(client, name, number, watch, deadline)
            continue
        left_behind = _left_behind(client, name, number)
        model = _model(client, name)
        if _last_ended(model.tags) < number:
            return Lease(client, name, number, left_behind, model, _confirmed=began)
        _delete(client, name, number)  # this process was late: the number had been used


def _created(client: Any, name: str, number: int, owner: str) -> bool:
    from mlflow.exceptions import MlflowException

    lease_name = _lease_name(name, number)
    with service_errors():
        try:
            client.create_registered_model(lease_name, tags={OWNER_TAG: owner})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Its own, where the answer to the first try was lost and MLflow's client has tried again.
            existing = found(lambda: client.get_registered_model(lease_name))
            return existing is not None and existing.tags.get(OWNER_TAG) == owner
    return True


def _await(client: Any, name: str, number: int, watch: "_Watch", deadline: float) -> None:
    """Returns when it is worth trying again: a moment later, or once a dead holder's lease has been ended."""
    asked = time.monotonic()
    holder = found(lambda: client.get_registered_model(_lease_name(name, number)))
    if holder is None:
        return
    owner = _read_owner(holder.tags.get(OWNER_TAG))
    if watch.is_dead((number, holder.tags.get(BEAT_TAG)), asked) or _process_is_gone(owner):
        logger.warning("The command of %s on %s died; its lease was taken over.", _who(owner), name)
        _set_ended(client, _model(client, name), number)
    elif time.monotonic() > deadline:
        hint = "Try again when it has ended."
        raise ServiceError(f"Another command is at work on {name}: {_who(owner)}.", hint=hint)
    else:
        time.sleep(POLL_SECONDS)


class _Watch:
    """How long a heartbeat has not changed, by this process's own clock."""

    def __init__(self) -> None:
        self.seen: tuple[int, str | None] | None = None
        self.since = 0.0

    def is_dead(self, beat: tuple[int, str | None], asked: float) -> bool:
        # An answer may be slow: it was the same from when the first had come to when the last was asked for.
        if self.seen != beat:
            self.seen, self.since = beat, time.monotonic()
        return asked - self.since > DEAD_SECONDS


def _lease_name(name: str, number: int) -> str:
    return f"{name}{LOCK_SUFFIX}.{number}"


def _model(client: Any, name: str) -> Any:
    with service_errors():
        return client.get_registered_model(name)


def _last_ended(tags: dict[str, str]) -> int:
    """Returns the highest number of a lease that the tags know; 0 without any."""
    # An event carries the number of its lease: the numbers continue where the tags of the leases were removed.
    numbers = (number for key in tags for number in (tag_number(key, LEASE_TAG), event_number(key)))
    return max((number for number in numbers if number is not None), default=0)


def _set_ended(client: Any, model: Any, number: int) -> None:
    """Writes down that a lease has ended; several that watched a dead holder may do so at once."""
    name, ended = model.name, f"{LEASE_TAG}{number:08d}"
    _unless_done(
        lambda: client.set_registered_model_tag(name, ended, "ended"), lambda: ended in _model(client, name).tags
    )
    for key in model.tags:
        if (earlier := tag_number(key, LEASE_TAG)) is not None and earlier < number:
            _unless_done(
                partial(client.delete_registered_model_tag, name, key), partial(_has_no_tag, client, name, key)
            )


def _has_no_tag(client: Any, name: str, key: str) -> bool:
    return key not in _model(client, name).tags


def _unless_done(change: Callable[[], object], done: Callable[[], bool]) -> None:
    """Makes a change that another process may make in the same instant, of which MLflow's store then refuses one."""
    from mlflow.exceptions import MlflowException

    with service_errors():
        try:
            change()
        except MlflowException:
            if not done():
                raise


def _left_behind(client: Any, name: str, number: int) -> tuple[int, ...]:
    """Returns the numbers of earlier leases that still exist."""
    prefix = f"{name}{LOCK_SUFFIX}."
    with service_errors():
        leases = client.search_registered_models(f"name LIKE '{prefix}%'", max_results=SEARCH_LIMIT)
    numbers = (tag_number(model.name, prefix) for model in leases)
    return tuple(sorted(each for each in numbers if each is not None and each < number))


def _delete(client: Any, name: str, number: int) -> None:
    found(lambda: client.delete_registered_model(_lease_name(name, number)))


def _owner(command: str) -> str:
    facts = {"id": uuid.uuid4().hex, "who": whoami(), "command": command}
    return json.dumps({**facts, **this_process().plain()})


def _read_owner(text: str | None) -> dict[str, Any]:
    with suppress(ValueError):
        owner = json.loads(text or "")
        if isinstance(owner, dict):
            return owner
    return {}


def _who(owner: dict[str, Any]) -> str:
    if not owner:
        return "unknown"
    return f"{owner.get('command')} by {owner.get('who')}, process {owner.get('pid')} on {owner.get('host')}"


def _process_is_gone(owner: dict[str, Any]) -> bool:
    """Whether the holder was a process of this very machine that no longer runs; False where that cannot be told."""
    process = Owner.parse(owner)
    return process is not None and process.lives() is False


def _awake() -> float:
    """Returns the seconds since boot, suspension included."""
    # A machine that was suspended must notice: the plain monotonic clock of Linux stops meanwhile.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
