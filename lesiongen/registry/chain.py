"""The history as a chain: every record holds the digest of the one before, so that no change goes unnoticed.

A record is one tag of the registered model. Its key is ``lesiongen.event.<event>.<place>.<digest>``: the number of the
event, the place in the chain, and the first characters of the SHA-256 over the record's canonical JSON. A record is
never written again: a later state of an event is a further record. Two writers can therefore not replace each other's
record, and a request that MLflow's client repeats writes the same tag.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.records.base import READING
from lesiongen.records.history import STARTED, HistoryEvent
from lesiongen.storage import json_digest

__all__ = [
    "EVENT_TAG",
    "HEAD_TAG",
    "SHORT",
    "TIMED_EVENT_TAG",
    "ChainRecord",
    "appended",
    "chain_of",
    "earlier_records",
    "event_number",
    "record_digest",
]

EVENT_TAG = "lesiongen.event."
TIMED_EVENT_TAG = "lesiongen.history."
"""Began the records of the first releases, whose keys are times; they are older than every numbered one."""
HEAD_TAG = "lesiongen.history_digest"
"""Digest of the last record, written after it: a command that was killed leaves that of an earlier one."""
SHORT = 16
"""Characters of a digest in a key."""
MOST_CHARACTERS = 4_000
"""Of a record when its command begins; MLflow's tables on PostgreSQL hold 5,000 (`SqlRegisteredModelTag.value`)."""
_EARLIER = re.compile(rf"{re.escape(EVENT_TAG)}([0-9]{{1,18}})")
_CHAINED = re.compile(rf"{_EARLIER.pattern}\.([0-9]{{1,9}})\.([0-9a-f]{{{SHORT}}})")


@dataclass(frozen=True)
class ChainRecord:
    """A record as it is stored.

    Attributes:
        key: Its tag.
        place: Place in the chain, by the key.
        short: Begin of its digest, by the key.
        text: Its content.
    """

    key: str
    place: int
    short: str
    text: str

    @cached_property
    def digest(self) -> str:
        """The digest of its content."""
        return record_digest(self.text)

    @cached_property
    def content(self) -> dict[str, Any]:
        """Its content; empty where it is not a JSON object."""
        try:
            content = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def previous(self) -> str | None:
        """What it names as the digest of the record before."""
        return self._text("previous")

    @property
    def imported(self) -> str | None:
        """The tag of the earlier release's record that it took into the chain."""
        return self._text("imported")

    def _text(self, field: str) -> str | None:
        value = self.content.get(field)
        return value if isinstance(value, str) else None


def chain_of(tags: Mapping[str, str]) -> list[ChainRecord]:
    """Returns the records of the chain in the order of their places."""
    found = ((key, text, _CHAINED.fullmatch(key)) for key, text in tags.items())
    records = [ChainRecord(key, int(match[2]), match[3], text) for key, text, match in found if match]
    return sorted(records, key=lambda record: (record.place, record.key))


def earlier_records(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the records of earlier releases, which are no part of the chain, by tag and oldest first."""
    timed = sorted(key for key in tags if key.startswith(TIMED_EVENT_TAG))
    numbered = sorted((int(match[1]), key) for key in tags if (match := _EARLIER.fullmatch(key)))
    return {key: tags[key] for key in [*timed, *(key for _, key in numbered)]}


def event_number(key: str) -> int | None:
    """Returns the number of the event whose record has this key, None where it is none's.

    >>> event_number("lesiongen.event.00000007"), event_number("lesiongen.event.00000007.00000012.0123456789abcdef")
    (7, 7)
    """
    match = _CHAINED.fullmatch(key) or _EARLIER.fullmatch(key)
    return int(match[1]) if match else None


def record_digest(text: str) -> str:
    """Returns the SHA-256 over the canonical JSON of a record: keys sorted, no matter how it is laid out."""
    try:
        return json_digest(json.loads(text))
    except (ValueError, RecursionError):
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def appended(tags: Mapping[str, str], event: HistoryEvent) -> Iterator[tuple[str, str]]:
    """Yields the tags that append a record, none where it is the last one already.

    The first record of a chain is preceded by those of earlier releases.

    Args:
        tags: Those of the registered model.
        event: What is to be recorded.

    Raises:
        UsageError: The first record of an event is longer than a database may hold.
    """
    chain = chain_of(tags)
    last = chain[-1] if chain else None
    if last is not None and _as_event(last.text) == _unchained(event):
        return
    place, previous = (last.place if last else 0), _end(tags, chain)
    for each in [*_to_import(tags, chain), _unchained(event)]:
        place += 1
        values = each.changed(sequence=place, previous=previous).model_dump(mode="json")
        text, previous = json.dumps(values, ensure_ascii=False), json_digest(values)
        if event.state == STARTED and len(text) > MOST_CHARACTERS:
            hint = "Shorten --why or --who: the registry's database keeps 5,000 characters, and a record grows later."
            raise UsageError(f"The record of this command has {len(text):,} characters.", hint=hint)
        yield f"{EVENT_TAG}{each.number or 0:08d}.{place:08d}.{previous[:SHORT]}", text


def _end(tags: Mapping[str, str], chain: list[ChainRecord]) -> str | None:
    """Returns what the next record is to name as the one before.

    Where the last known record is not there, that is its digest all the same: the gap stays visible.
    """
    head = tags.get(HEAD_TAG)
    if head and all(record.digest != head for record in chain):
        return head
    return chain[-1].digest if chain else None


def _to_import(tags: Mapping[str, str], chain: list[ChainRecord]) -> list[HistoryEvent]:
    """Returns the events of earlier releases; none once the chain has a record of its own."""
    if any(record.imported is None for record in chain):
        return []
    known = {record.imported for record in chain}
    records = {key: text for key, text in earlier_records(tags).items() if key not in known}
    return [_as_event(text).changed(number=event_number(key), imported=key) for key, text in records.items()]


def _as_event(text: str) -> HistoryEvent:
    return _unchained(HistoryEvent.model_validate_json(text, context=READING))


def _unchained(event: HistoryEvent) -> HistoryEvent:
    return event.changed(sequence=None, previous=None, imported=None)
