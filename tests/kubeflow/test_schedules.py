"""``schedule``, ``schedules`` and ``unschedule``."""

import pytest

from pipelines.kubeflow.schedules import check_cron
from tests.kubeflow.conftest import PARAMETERS, STORED

RECURRING = "/apis/v2beta1/recurringruns"
UNTIL_CREATED = 7
"""Requests up to the one that creates a schedule, where the package has been uploaded."""


@pytest.fixture
def schedule(lesiongen):
    """Gives a function that schedules the stored release package."""

    def run(name, cron, *words):
        given = [f"--set={field}={value}" for field, value in PARAMETERS.items()]
        return lesiongen("schedule", name, "--cron", cron, "--package", STORED, *given, *words)

    return run


def test_a_schedule_starts_one_run_at_a_time_and_skips_missed_ones(server, profile, schedule):
    result = schedule("nightly", "0 3 * * *", "--json")
    assert result.code == 0
    stored = server.recurring[result.json["id"]]
    assert stored["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (stored["mode"], stored["no_catchup"], stored["max_concurrency"]) == ("ENABLE", True, "1")
    assert stored["runtime_config"]["parameters"] == PARAMETERS
    assert stored["pipeline_version_reference"]["pipeline_version_id"] in server.versions


def test_a_schedule_of_the_same_name_is_replaced(server, profile, schedule):
    first, other = schedule("nightly", "0 3 * * *", "--json").json, schedule("weekly", "0 4 * * 1", "--json").json
    second = schedule("nightly", "30 2 * * *", "--json").json
    assert second["replaced"] == [first["id"]]
    assert set(server.recurring) == {second["id"], other["id"]}
    # One that is refused leaves the old one as it is.
    server.failing = [*[200] * (UNTIL_CREATED - 1), 400]
    refused = schedule("nightly", "0 5 * * *")
    assert (refused.code, server.requests[-1]) == (1, ("POST", RECURRING))
    assert set(server.recurring) == {second["id"], other["id"]}


def test_a_schedule_whose_creation_is_not_answered_is_found_by_its_name(server, profile, schedule):
    first = schedule("nightly", "0 3 * * *", "--json").json
    server.failing = [*[200] * (UNTIL_CREATED - 1), "lost", 200]
    second = schedule("nightly", "30 2 * * *", "--json")
    assert (second.code, second.json["replaced"]) == (0, [first["id"]])
    assert list(server.recurring) == [second.json["id"]]
    assert server.recurring[second.json["id"]]["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * *"


@pytest.mark.parametrize(("failing", "kept"), [(["drop", 200], 1), (["lost", "drop"], 2)])
def test_a_schedule_that_is_not_found_after_that_may_have_been_created(server, profile, schedule, failing, kept):
    schedule("nightly", "0 3 * * *")
    server.failing = [*[200] * (UNTIL_CREATED - 1), *failing]
    result = schedule("nightly", "30 2 * * *")
    assert (result.code, len(server.recurring)) == (1, kept)
    assert "The schedule nightly may have been created. Schedule it again: that replaces it.\n" in result.err
    # So it does.
    server.failing = []
    again = schedule("nightly", "30 2 * * *", "--json")
    assert list(server.recurring) == [again.json["id"]]


def test_schedules_are_listed_by_name(server, profile, schedule, lesiongen):
    for name in ("c", "a", "b"):
        schedule(name, "0 3 * * *")
    listed = lesiongen("schedules").out.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "a", "b", "c"]
    assert listed[1].split() == ["a", "0", "0", "3", "*", "*", "*", "enabled"]
    answer = lesiongen("schedules", "--json").json
    assert [(each["name"], each["enabled"], each["parameters"]["name"]) for each in answer][0] == ("a", True, "ham")
    assert lesiongen("schedules", "--experiment", "other", "--json").json == []


def test_a_schedule_is_deleted_by_its_name(server, profile, schedule, lesiongen):
    id = schedule("nightly", "0 3 * * *", "--json").json["id"]
    missing = lesiongen("unschedule", "nightli")
    assert (missing.code, "Schedules: nightly." in missing.err) == (2, True)
    assert lesiongen("unschedule", "nightly", "--json").json["deleted"] == [id]
    assert server.recurring == {}


def test_wrong_parameters_of_a_schedule_are_refused_before_anything_is_sent(server, profile, schedule):
    assert schedule("nightly", "0 3 * * *", "--set", "gates.min_seeds=x").code == 2
    assert schedule("nightly", "0 3 * *").code == 2
    assert server.requests == []


@pytest.mark.parametrize(
    ("standard", "of_kubeflow"),
    [
        ("*/15 0-6 1,15 * mon-fri", "0 */15 0-6 1,15 * mon-fri"),
        ("59 23 31 DEC 0", "0 59 23 31 DEC 0"),
        ("0 8-18/2 * 1-6 *", "0 0 8-18/2 * 1-6 *"),
    ],
)
def test_standard_cron_expressions_get_seconds(standard, of_kubeflow):
    assert check_cron(standard) == of_kubeflow


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "has 0 fields"),
        ("0 0 3 * * *", "has 6 fields"),
        ("60 3 * * *", "the minute '60' must be"),
        ("0 24 * * *", "the hour '24'"),
        ("0 3 0 * *", "the day of the month '0'"),
        ("0 3 * 13 *", "the month '13'"),
        ("0 3 * * 7", "the day of the week '7'"),
        ("0 3 * * 5-1", "the day of the week '5-1'"),
        ("*/0 3 * * *", "the minute '*/0'"),
        ("0 3 * * lun", "the day of the week 'lun'"),
        ("1,,2 3 * * *", "the minute ''"),
    ],
)
def test_a_wrong_cron_expression_is_refused(server, profile, schedule, cron, message):
    result = schedule("nightly", cron)
    assert result.code == 2
    assert message in result.err
