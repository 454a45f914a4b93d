"""Two processes that register, promote and roll back one model at the same moment."""

import pytest

from lesiongen.registry import history
from lesiongen.registry.tags import LOCK_SUFFIX
from tests.fault_points import points
from tests.registry.commands import LAX, Command, aliases, released


@pytest.fixture
def together(stack_environment):
    """Runs commands in processes that begin at the same moment; returns how they ended."""

    def together(*commands):
        started = [Command(command, arguments, stack_environment) for command, arguments in commands]
        for each in started:
            each.begin()
        return [each.end() for each in started]

    return together


def check_two_registrations(client, name, together, passing):
    registers = [("register", {"name": name, **passing.addresses})] * 2
    (first, one), (second, other) = together(*registers)
    assert (first, second, one) == ("done", "done", other)
    for each in (name, f"{name}-classifier"):
        assert len(client.search_model_versions(f"name='{each}'")) == 1
    assert [event.action for event in history(name)] == ["register"]


def check_two_moves(client, name, together, passing, second):
    released(client, name, passing.tags, versions=4, champions=3)
    promotion = ("promote", {"name": name, "version": "4", "gates": LAX})
    other = (
        ("promote", {"name": name, "version": "1", "gates": LAX}) if second == "promote" else (second, {"name": name})
    )
    answers = together(promotion, other)
    assert [outcome for outcome, _ in answers] == ["done", "done"]
    events = history(name)[3:]
    # Each began where the one before had ended, and the last one's champion is the champion, of both models.
    assert [event.champion_before for event in events] == ["3", events[0].champion_after]
    for each in (name, f"{name}-classifier"):
        assert aliases(client, each)["champion"] == int(events[1].champion_after)
    assert client.search_registered_models(f"name LIKE '{name}{LOCK_SUFFIX}%'") == []


def test_two_registrations_of_the_same_make_one_version(client, name, together, passing):
    check_two_registrations(client, name, together, passing)


@pytest.mark.parametrize("second", ["promote", "rollback"])
def test_a_promotion_and_another_command_come_one_after_the_other(client, name, together, passing, second):
    check_two_moves(client, name, together, passing, second)


@pytest.mark.faults
@pytest.mark.parametrize("attempt", points(range(10), step=4))
def test_pairs_at_the_same_moment_several_times(client, name, together, passing, attempt):
    check_two_registrations(client, name, together, passing)
    for second in ("promote", "rollback"):
        check_two_moves(client, f"{name}-{second}", together, passing, second)
