"""Whether a history is as it was written: which record was altered, removed, inserted or moved. Pure functions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from lesiongen.records.history import HistoryFinding
from lesiongen.registry.chain import (
    EVENT_TAG,
    HEAD_TAG,
    SHORT,
    ChainRecord,
    chain_of,
    earlier_records,
    event_number,
)

__all__ = ["chain_findings", "chain_notes"]


def chain_findings(tags: Mapping[str, str], expected: str | None = None) -> list[HistoryFinding]:
    """Returns what is wrong with the chain of records, in the order of their places.

    Args:
        tags: Those of the registered model.
        expected: Digest of a record, or its begin, that somebody has kept elsewhere: it must be in the chain.
    """
    chain = chain_of(tags)
    tampered = {finding.tag: finding for finding in _altered(chain)}
    touched = frozenset(key for key in tampered if key)
    found = [
        *tampered.values(),
        *_missing(chain),
        *_inserted(chain, touched),
        *_links(chain, touched),
        *_outside(tags, chain),
        *_end(tags, chain),
        *_expected(chain, expected),
    ]
    return sorted(found, key=lambda finding: (finding.record is None, finding.record or 0))


def chain_notes(tags: Mapping[str, str]) -> list[str]:
    """Returns what the check of a chain cannot see, in sentences."""
    chain, notes = chain_of(tags), []
    if _takes_in_earlier(chain):
        known = {record.imported for record in chain}
        if unchained := [key for key in earlier_records(tags) if key not in known]:
            notes.append(
                f"{len(unchained)} records of earlier releases are not chained; the next command chains them as they "
                "are."
            )
    if chain and HEAD_TAG not in tags:
        notes.append(f"The tag {HEAD_TAG} is missing: whether records at the end were removed is unknown.")
    return notes


def _takes_in_earlier(chain: Sequence[ChainRecord]) -> bool:
    """Tells whether records of earlier releases may still be taken in: no later record is in the chain yet."""
    return all(record.imported is not None for record in chain)


def _altered(chain: Sequence[ChainRecord]) -> Iterator[HistoryFinding]:
    """Yields the records whose content is not the one that their keys name."""
    places = {record.short: record.place for record in chain}
    for record in chain:
        begin = record.digest[:SHORT]
        if begin != record.short:
            if begin in places:
                text = f"The tag of record {record.place} holds record {places[begin]}: they were exchanged."
                yield _finding("moved", record, text)
            else:
                text = f"Record {record.place}{_what(record)} was altered: its content has another digest than its tag."
                yield _finding("altered", record, text)
        elif (record.content.get("sequence"), record.content.get("number") or 0) != _by_key(record):
            text = f"Record {record.content.get('sequence')}{_what(record)} was moved to the place {record.place}."
            yield _finding("moved", record, text)


def _missing(chain: Sequence[ChainRecord]) -> Iterator[HistoryFinding]:
    places = {record.place for record in chain}
    for before, after in pairwise([0, *sorted(places)]):
        first, last = before + 1, after - 1
        if first == last:
            message = f"Record {first} was removed: its place is empty."
        else:
            message = f"Records {first} to {last} were removed: their places are empty."
        if first <= last:
            yield HistoryFinding(kind="removed", record=first, message=message)


def _inserted(chain: Sequence[ChainRecord], touched: frozenset[str]) -> Iterator[HistoryFinding]:
    """Yields the records that share a place with another one, but for the one that the next record follows."""
    followed = {record.previous for record in chain}
    for place, group in groupby(chain, key=lambda record: record.place):
        records = [record for record in group if record.key not in touched]
        if len(records) < 2:
            continue
        for record in [each for each in records if each.digest not in followed] or records:
            several = (
                f"Record {place}{_what(record)} was inserted, or another one at this place: there are {len(records)}."
            )
            yield _finding("inserted", record, several)


def _links(chain: Sequence[ChainRecord], touched: frozenset[str]) -> Iterator[HistoryFinding]:
    """Yields the records that do not follow the one before; those beside a record that was altered are passed over."""
    at = {record.digest: record.place for record in chain}
    by_place: dict[int, list[ChainRecord]] = {}
    for record in chain:
        by_place.setdefault(record.place, []).append(record)
    for record in chain:
        before, named = by_place.get(record.place - 1, []), record.previous
        if record.key in touched or any(each.key in touched for each in before):
            continue
        if not before:
            if record.place == 1 and named is not None:
                yield _finding("removed", record, "Records before record 1 were removed: it names one.")
            continue
        if any(each.digest == named for each in before):
            continue
        if named in at:
            text = (
                f"Record {record.place}{_what(record)} was moved: it follows record {at[named]}, not the one before it."
            )
            yield _finding("moved", record, text)
        else:
            text = (
                f"Record {record.place - 1}{_what(before[0])} was altered: record {record.place} follows another one."
            )
            yield _finding("altered", before[0], text)


def _outside(tags: Mapping[str, str], chain: Sequence[ChainRecord]) -> Iterator[HistoryFinding]:
    """Yields records of earlier releases that the chain does not hold, or that have changed since."""
    for key in tags:
        if key.startswith(EVENT_TAG) and event_number(key) is None:
            yield HistoryFinding(kind="altered", tag=key, message=f"The tag {key} has no name of a record.")
    imported = {record.imported: record for record in chain}
    for key, text in earlier_records(tags).items() if chain else ():
        record = imported.get(key)
        if record is None and _takes_in_earlier(chain):
            continue
        if record is None:
            message = f"The tag {key} was inserted, or written by an earlier release: the chain does not hold it."
            yield HistoryFinding(kind="inserted", tag=key, message=message)
        elif not _holds(record, text):
            message = f"The tag {key} was altered since record {record.place} took it into the chain."
            yield HistoryFinding(kind="altered", record=record.place, tag=key, message=message)


def _end(tags: Mapping[str, str], chain: Sequence[ChainRecord]) -> Iterator[HistoryFinding]:
    head = tags.get(HEAD_TAG)
    if head is None and sum(record.imported is None for record in chain) > 1:
        # A command that is killed leaves its first record without one, never a second.
        text = f"The tag {HEAD_TAG} was removed: whether records at the end were removed, too, is unknown."
        yield HistoryFinding(kind="removed", tag=HEAD_TAG, message=text)
    if not head or any(head == record.digest or head[:SHORT] == record.short for record in chain):
        return
    if any(record.previous == head for record in chain):
        return  # a later record follows it: the gap is found there
    text = (
        f"Records at the end were removed: the last one that was written has the digest {head[:SHORT]}, which is gone."
    )
    yield HistoryFinding(kind="removed", tag=HEAD_TAG, message=text)


def _expected(chain: Sequence[ChainRecord], expected: str | None) -> Iterator[HistoryFinding]:
    if expected and not any(record.digest.startswith(expected.lower()) for record in chain):
        text = f"The record with the digest {expected[:SHORT]} was removed or altered: the chain does not hold it."
        yield HistoryFinding(kind="removed", message=text)


def _holds(record: ChainRecord, text: str) -> bool:
    try:
        earlier = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(earlier, dict):
        return False
    own = {"number", "sequence", "previous", "imported"}
    return all(record.content.get(name) == value for name, value in earlier.items() if name not in own)


def _by_key(record: ChainRecord) -> tuple[int, int]:
    return record.place, event_number(record.key) or 0


def _what(record: ChainRecord) -> str:
    content = record.content
    if not {"action", "version"} <= content.keys():
        return ""
    return f" ({content['action']} version {content['version']}, {content.get('state')})"


def _finding(kind: str, record: ChainRecord, message: str) -> HistoryFinding:
    return HistoryFinding.model_validate({"kind": kind, "record": record.place, "tag": record.key, "message": message})
