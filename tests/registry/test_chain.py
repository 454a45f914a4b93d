"""Every change of a history is found, and the record named; a history that nobody has touched is found intact."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesiongen.errors import UsageError
from lesiongen.records.history import HistoryEvent
from lesiongen.registry.chain import HEAD_TAG, appended, chain_of, earlier_records, record_digest
from lesiongen.registry.chain_check import chain_findings, chain_notes
from lesiongen.registry.tags import events_of

STATES = [
    (1, "register", "1", "started"),
    (1, "register", "1", "finished"),
    (2, "promote", "1", "started"),
    (2, "promote", "1", "finished"),
    (3, "register", "2", "started"),
    (3, "register", "2", "finished"),
]


def event(number, action, version, state, **values):
    return HistoryEvent(
        when="a day", who="someone", action=action, version=version, number=number, state=state, **values
    )


def write(tags, *events, head=True):
    """Appends events to the tags of a model, as `write_event` does."""
    for each in events:
        new = list(appended(tags, each))
        if tags and chain_of(tags) and head:
            tags.setdefault(HEAD_TAG, chain_of(tags)[-1].digest)
        tags.update(new)
        if new and head:
            tags[HEAD_TAG] = record_digest(new[-1][1])
    return tags


@pytest.fixture
def tags():
    return write({}, *(event(*state) for state in STATES))


def key_of(tags, place):
    (record,) = [record for record in chain_of(tags) if record.place == place]
    return record.key


def changed(text, **values):
    return json.dumps({**json.loads(text), **values})


def told(tags, expected=None):
    return [(finding.kind, finding.record) for finding in chain_findings(tags, expected)]


def test_each_record_holds_the_digest_of_the_one_before_and_an_untouched_chain_is_intact(tags):
    chain = chain_of(tags)
    assert [record.content["sequence"] for record in chain] == [1, 2, 3, 4, 5, 6]
    assert [record.content.get("previous") for record in chain] == [None, *(record.digest for record in chain[:-1])]
    assert (chain_findings(tags), chain_notes(tags)) == ([], [])
    assert [(each.number, each.state) for each in events_of("demo", tags)] == [(n, "finished") for n in (1, 2, 3)]


@pytest.mark.parametrize("place", range(1, 7))
@pytest.mark.parametrize("values", [{"who": "somebody else"}, {"state": "undone"}, {"reasons": ["none"]}, {"x": 1}])
def test_an_altered_field_is_found_and_the_record_named(tags, place, values):
    key = key_of(tags, place)
    tags[key] = changed(tags[key], **values)
    assert told(tags) == [("altered", place)]
    assert f"Record {place} (" in chain_findings(tags)[0].message


@pytest.mark.parametrize("place", range(1, 6))
def test_an_altered_record_whose_tag_was_renamed_to_fit_is_found_by_the_next_one(tags, place):
    key = key_of(tags, place)
    text = changed(tags.pop(key), who="somebody else")
    tags[f"{key.rpartition('.')[0]}.{record_digest(text)[:16]}"] = text
    assert told(tags) == [("altered", place)]


@pytest.mark.parametrize("place", range(1, 7))
def test_a_removed_record_is_found_and_named(tags, place):
    del tags[key_of(tags, place)]
    assert told(tags) == [("removed", place if place < 6 else None)]
    assert f"Record {place} was removed" in chain_findings(tags)[0].message or place == 6


def test_a_removed_record_that_was_closed_up_is_found():
    tags = write({}, *(event(*state) for state in STATES))
    moved = tags.pop(key_of(tags, 4))
    del tags[key_of(tags, 3)]
    text = changed(moved, sequence=3)
    tags[f"lesiongen.event.00000002.00000003.{record_digest(text)[:16]}"] = text
    assert ("removed", 4) in told(tags)


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (3, 5), (5, 6)])
def test_records_whose_contents_were_exchanged_are_found(tags, one, other):
    first, second = key_of(tags, one), key_of(tags, other)
    tags[first], tags[second] = tags[second], tags[first]
    assert told(tags) == [("moved", one), ("moved", other)]


def test_records_whose_places_were_exchanged_are_found(tags):
    """The keys and the numbers in the records fit; what they follow does not."""
    texts = {place: tags.pop(key_of(tags, place)) for place in (3, 4)}
    for place, text in ((4, texts[3]), (3, texts[4])):
        fitting = changed(text, sequence=place)
        tags[f"lesiongen.event.00000002.{place:08d}.{record_digest(fitting)[:16]}"] = fitting
    assert {record for _, record in told(tags)} & {2, 3, 4}
    renamed = write({}, *(event(*state) for state in STATES))
    keys = {place: key_of(renamed, place) for place in (3, 4)}
    texts = {place: renamed.pop(key) for place, key in keys.items()}
    for place, other in ((3, 4), (4, 3)):
        renamed[keys[place].replace(f"{place:08d}.", f"{other:08d}.")] = texts[place]
    assert told(renamed) == [("moved", 3), ("moved", 4)]


def test_a_place_far_away_is_told_in_one_sentence_and_one_beyond_all_places_as_no_record(tags):
    text = tags[key_of(tags, 6)]
    far = changed(text, sequence=999_999_999)
    tags[f"lesiongen.event.00000003.999999999.{record_digest(far)[:16]}"] = far
    assert ("removed", 7) in told(tags)
    assert len(told(tags)) < 5
    beyond = {**write({}, event(*STATES[0])), "lesiongen.event.00000003.999999999999.0123456789abcdef": "{}"}
    assert told(beyond) == [("altered", None)]


def test_a_record_that_a_database_could_not_hold_is_refused_before_anything_is_done(tags):
    long = event(4, "promote", "2", "started", reasons=("ж" * 3_500,))
    assert all(len(text) < 5_000 for _, text in appended(tags, long))
    with pytest.raises(UsageError, match="characters"):
        list(appended(tags, event(4, "promote", "2", "started", reasons=("ж" * 4_000,))))


def test_an_inserted_record_is_found(tags):
    twin = dict(tags)
    forged = event(2, "promote", "2", "finished").changed(sequence=3, previous=chain_of(tags)[1].digest)
    text = json.dumps(forged.model_dump(mode="json"))
    twin[f"lesiongen.event.00000002.00000003.{record_digest(text)[:16]}"] = text
    assert told(twin) == [("inserted", 3)]
    assert "promote version 2" in chain_findings(twin)[0].message
    old = {**tags, "lesiongen.event.00000009": json.dumps(event(9, "promote", "2", "finished").model_dump(mode="json"))}
    assert told(old) == [("inserted", None)]
    assert told({**tags, "lesiongen.event.3x": "{}"}) == [("altered", None)]


def test_a_removed_end_is_found_even_after_the_next_command_and_by_a_digest_that_was_kept(tags):
    kept = chain_of(tags)[-1].digest
    assert told(tags, kept[:16]) == []
    del tags[key_of(tags, 6)]
    later = write(dict(tags), event(4, "rollback", "1", "finished"))
    assert [kind for kind, _ in told(later)] == ["altered"], "the new record follows the one that is gone"
    tags[HEAD_TAG] = chain_of(tags)[-1].digest  # as somebody would who knows how it is made
    assert told(tags) == []
    assert told(tags, kept) == [("removed", None)]
    del tags[HEAD_TAG]
    assert told(tags) == [("removed", None)]


def test_a_whole_chain_that_was_written_again_is_found_by_a_digest_that_was_kept(tags):
    kept = chain_of(tags)[3].digest
    forged = write({}, *(event(*state).changed(who="somebody else") for state in STATES))
    assert told(forged) == []
    assert told(forged, kept) == [("removed", None)]


def test_a_command_that_was_killed_before_the_digest_of_the_last_record_leaves_an_intact_chain(tags):
    write(tags, event(4, "hold", "2", "started"), head=False)
    assert (chain_findings(tags), chain_notes(tags)) == ([], [])
    assert write(tags, event(4, "hold", "2", "finished"))[HEAD_TAG] == chain_of(tags)[-1].digest
    assert chain_findings(tags) == []
    first = write({}, event(*STATES[0]), head=False)
    assert chain_findings(first) == []
    assert "is missing" in chain_notes(first)[0]


def test_a_record_that_is_written_again_is_one(tags):
    before = dict(tags)
    assert write(tags, event(*STATES[-1])) == before


def earlier():
    timed = {"when": "2026-01-01", "who": "x", "action": "promote", "version": "1", "champion_after": "1"}
    return {
        "lesiongen.history.00000000001790000001": json.dumps(timed),
        **{
            f"lesiongen.event.{number:08d}": json.dumps({**timed, "version": str(number), "state": "finished"})
            for number in (2, 10)
        },
    }


def test_records_of_earlier_releases_are_taken_into_the_chain_as_they_are():
    tags = earlier()
    before = events_of("demo", tags)
    assert chain_findings(tags) == []
    assert "3 records of earlier releases are not chained" in chain_notes(tags)[0]
    write(tags, event(11, "register", "3", "started"))
    assert (chain_findings(tags), chain_notes(tags)) == ([], [])
    assert earlier().items() <= tags.items(), "nothing of them is touched"
    after = events_of("demo", tags)
    assert [(each.version, each.number) for each in after[:3]] == [(each.version, each.number) for each in before]
    assert [each.version for each in after] == ["1", "2", "10", "3"]
    for key in earlier():
        altered = {**tags, key: changed(tags[key], version="7")}
        assert [finding.tag for finding in chain_findings(altered)] == [key]


def test_a_command_that_was_killed_while_it_took_them_in_is_continued():
    whole = write(earlier(), event(11, "register", "3", "started"))
    for cut in (1, 2):
        tags = earlier()
        tags.update(list(appended(tags, event(11, "register", "3", "started")))[:cut])
        assert [each.version for each in events_of("demo", tags)] == ["1", "2", "10"]
        assert chain_findings(tags) == [], "what is not taken in yet is no insertion"
        assert "not chained" in chain_notes(tags)[0]
        assert write(tags, event(11, "register", "3", "started")) == whole


def test_what_is_inserted_later_is_not_taken_in(tags):
    tags["lesiongen.event.00000009"] = json.dumps(event(9, "promote", "2", "finished").model_dump(mode="json"))
    write(tags, event(4, "hold", "2", "finished"))
    assert told(tags) == [("inserted", None)]
    assert list(earlier_records(tags)) == ["lesiongen.event.00000009"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_of_one_tag_goes_unnoticed(data):
    tags = write({}, *(event(*state) for state in STATES))
    key = data.draw(st.sampled_from([record.key for record in chain_of(tags)]))
    content = json.loads(tags[key])
    field = data.draw(st.sampled_from(sorted(content)))
    value = data.draw(st.none() | st.text(max_size=5) | st.integers(-3, 12) | st.lists(st.text(max_size=3), max_size=2))
    tags[key] = json.dumps({**content, field: value})
    assert bool(chain_findings(tags)) == (json.dumps(value) != json.dumps(content[field]))
