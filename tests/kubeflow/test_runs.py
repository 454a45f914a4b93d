"""``status``, ``logs`` and ``cancel``."""

import json
from types import SimpleNamespace

import pytest

from pipelines.kubeflow import logs
from tests.kubeflow.argo import Layout
from tests.kubeflow.conftest import STORED, course


@pytest.fixture
def run_id(server, profile, submit):
    server.course = [{"run": "RUNNING", "ingest": "SUCCEEDED"}, {"validate": "RUNNING"}]
    return submit("--json").json["run"]


def test_status_lists_every_step_with_its_state_and_times(server, run_id, lesiongen):
    lesiongen("status", run_id)
    result = lesiongen("status", run_id)
    rows = [line.split() for line in result.out.splitlines()]
    assert rows[3] == ["STEP", "STATE", "STARTED", "TOOK"]
    assert rows[4][:2] == ["ingest", "SUCCEEDED"]
    assert rows[4][-1] == "s"
    assert rows[5][:2] == ["validate", "RUNNING"]
    assert rows[6] == ["require-passed", "NOT_STARTED"]
    assert rows[-1] == ["finish", "NOT_STARTED"]


def test_status_as_json_has_no_time_that_has_not_come(server, run_id, lesiongen):
    answer = lesiongen("status", run_id, "--json").json
    assert (answer["state"], answer["ended"]) == ("RUNNING", None)
    ingest = answer["steps"][0]
    assert ingest["started"] <= ingest["ended"]
    assert answer["steps"][2] == {"step": "require-passed", "state": "NOT_STARTED", "started": None, "ended": None}


def test_status_shows_what_the_server_says_of_a_failure(server, run_id, lesiongen):
    server.runs[run_id].body["error"] = {"code": 13, "message": "exceeded its quota"}
    assert "exceeded its quota" in lesiongen("status", run_id).out


def test_a_run_is_found_by_its_id_the_beginning_of_it_and_as_latest(server, run_id, submit, lesiongen):
    newer = submit("--json").json["run"]
    for text, found in ((run_id, run_id), (run_id[:8], run_id), (run_id[:8].upper(), run_id), ("latest", newer)):
        assert lesiongen("status", text, "--json").json["run"] == found


def test_latest_is_the_last_of_the_experiment(server, run_id, submit, lesiongen):
    other = submit("--experiment", "other", "--json").json["run"]
    assert lesiongen("status", "latest", "--json").json["run"] == run_id
    assert lesiongen("status", "latest", "--experiment", "other", "--json").json["run"] == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00000000-0000-0000-0000-000000000000", "Unknown run 00000000"),
        ("zzzz", "No run begins with 'zzzz'"),
        ("abc", "'abc' is not a run"),
    ],
)
def test_an_unknown_run_is_an_error_that_lists_those_that_there_are(server, run_id, lesiongen, text, message):
    result = lesiongen("status", text)
    assert result.code == 2
    assert message in result.err
    assert text == "abc" or run_id in result.err


def test_a_beginning_of_two_runs_is_an_error(server, run_id, submit, lesiongen):
    second = submit("--json").json["run"]
    same = run_id[:8] + second[8:]
    server.runs[same] = server.runs.pop(second)
    server.runs[same].body["run_id"] = same
    result = lesiongen("status", run_id[:8])
    assert result.code == 2
    assert "Several runs begin with" in result.err
    assert same in result.err


def test_without_runs_there_is_no_latest(server, profile, lesiongen):
    result = lesiongen("status", "latest")
    assert (result.code, "has no runs yet" in result.err) == (2, True)


def test_a_run_whose_version_was_deleted_still_has_a_state(server, run_id, lesiongen):
    server.versions.clear()
    result = lesiongen("status", run_id, "--json")
    assert (result.code, result.json["state"]) == (0, "RUNNING")


@pytest.mark.parametrize("gateway", [False, True])
@pytest.mark.parametrize("layout", [Layout(), Layout(attempts=3), Layout(attempts=2, retries_all=True)])
def test_the_log_is_that_of_the_newest_attempt(server, write_profile, submit, lesiongen, gateway, layout):
    server.behind_gateway, server.layout = gateway, layout
    write_profile(endpoint=server.address)
    server.course = course("ingest", "finish")
    server.logs = {"ingest": "ingest, attempt {attempt}\n", "finish": "{node}\n"}
    run = submit("--wait", "--json").json["run"]
    assert lesiongen("logs", run, "ingest").out == f"ingest, attempt ({layout.attempts - 1})\n"
    # The exit handler is a hook of what it follows; the package does not say that it is tried again.
    attempt = f"({layout.attempts - 1})" if layout.retries_all else ""
    assert lesiongen("logs", run, "finish").out.endswith(f"exit-handler-1.onExit.finish.executor{attempt}\n")


def test_the_logs_of_all_steps_are_headed(server, profile, submit, lesiongen):
    server.course = course("ingest", "validate")
    server.logs = {"ingest": "one\ntwo\n", "validate": "three\n"}
    submit("--wait")
    assert lesiongen("logs", "latest").out == "==> ingest <==\none\ntwo\n==> validate <==\nthree\n"


def test_rounds_of_a_loop_have_logs_of_their_own(server, profile, lesiongen):
    server.course = course("ingest")
    server.logs = {"ingest": "{node}\n"}
    collections = [{"dataset": one, "format": "isic", "source": f"s3://{one}", "source_revision": ""} for one in "ab"]
    given = ["--package", STORED.with_name("merge.yaml"), "--set", f"collections={json.dumps(collections)}"]
    assert lesiongen("submit", *given, "--wait").code == 0
    rounds = [lesiongen("logs", "latest", f"ingest-{number}").out for number in (1, 2)]
    assert sorted(rounds) == sorted(
        f"lesiongen-release-x7k2p.root.exit-handler-1.for-loop-2.iteration-iterations({n}:{n}).iteration-item"
        ".ingest.executor(0)\n"
        for n in (0, 1)
    )


def test_logs_follow_a_run_to_its_end(server, profile, submit, lesiongen):
    server.course = course("ingest", "validate", run="FAILED")
    server.logs = {"ingest": "one\n", "validate": "two"}
    submit()
    result = lesiongen("logs", "latest", "--follow")
    assert result.code == 0
    assert result.out == "==> ingest <==\none\n==> validate <==\ntwo\n"


def test_logs_follow_a_step_to_its_end_alone(server, profile, submit, lesiongen):
    server.course = [{"run": "RUNNING"}, {"ingest": "RUNNING"}, {"ingest": "SUCCEEDED"}]
    server.logs = {"ingest": "one\n"}
    submit()
    assert lesiongen("logs", "latest", "ingest", "--follow").out == "one\n"


def test_following_outlasts_a_server_that_is_away(server, profile, submit, lesiongen):
    server.course = course("ingest")
    server.logs = {"ingest": "one\n"}
    run = submit("--json").json["run"]
    # Health, the run and its version are read, then the run again.
    server.failing = [200, 200, 200, 503, "drop", 200]
    result = lesiongen("logs", run, "--follow")
    assert (result.code, result.out) == (0, "==> ingest <==\none\n")
    assert result.err.count("Trying again for 5 minutes") == 1


def test_following_outlasts_credentials_that_expire_while_a_log_is_read(server, profile, submit, lesiongen):
    server.course = course("ingest")
    server.logs = {"ingest": "one\n"}
    run = submit("--json").json["run"]
    # As above; then the log.
    server.failing = [200, 200, 200, 200, 401, 401, 200]
    result = lesiongen("logs", run, "--follow")
    assert (result.code, result.out) == (0, "==> ingest <==\none\n")


def test_a_line_that_is_being_written_is_kept_back_and_a_new_attempt_begins_at_its_first_line():
    status, seen, said = SimpleNamespace(name="ingest"), {}, []
    for log in ("one\ntw", "one\ntwo\n", "another\n", None, "another\nlast"):
        logs._hand_on(status, log, seen, lambda _, line: said.append(line), whole=log is not None and log[-1] == "t")
    assert said == ["one", "two", "another", "last"]


def test_a_log_holds_no_secret_and_no_escape_sequence(server, write_profile, submit, lesiongen, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("a-token-that-nobody-reads-4711\n", encoding="utf-8")
    secret.chmod(0o600)
    server.token = "a-token-that-nobody-reads-4711"
    write_profile(endpoint=server.address, token_file="token")
    server.course, server.logs = course("ingest"), {"ingest": f"{server.token} \x1b[31mred\n"}
    assert submit("--wait").code == 0
    assert lesiongen("logs", "latest", "ingest").out == "*** \\x1b[31mred\n"


def test_an_unknown_step_and_a_missing_log_are_errors(server, run_id, lesiongen):
    unknown, missing = lesiongen("logs", run_id, "ingst"), lesiongen("logs", run_id, "promote")
    assert (unknown.code, missing.code) == (2, 1)
    assert "has no step 'ingst'" in unknown.err
    assert "No log found for promote" in missing.err


def test_cancelling_waits_for_the_end_and_says_what_is_left(server, run_id, lesiongen):
    lesiongen("status", run_id)
    lesiongen("status", run_id)
    result = lesiongen("cancel", run_id)
    assert result.code == 0
    assert server.runs[run_id].states["run"] == "CANCELED"
    assert "has ended: CANCELED" in result.out
    assert "Finished steps, whose results are kept: ingest." in result.out
    assert "Unfinished steps: validate." in result.out
    assert "below s3://bucket/release/work" in result.out


def test_a_run_that_does_not_stop_is_still_running(server, run_id, lesiongen):
    server.stubborn = True
    lesiongen("status", run_id)
    result = lesiongen("cancel", run_id, "--timeout", "0.1")
    assert result.code == 75
    assert "is being cancelled, and has not ended after 0.1 s" in result.err
    # Once more: the server refuses, and the waiting continues.
    server.stubborn = False
    assert lesiongen("cancel", run_id).code == 0


def test_cancelling_what_has_ended_changes_nothing(server, profile, submit, lesiongen):
    server.course = course("ingest")
    submit("--wait")
    result = lesiongen("cancel", "latest")
    assert result.code == 0
    assert "had ended before: SUCCEEDED" in result.out
    assert not any(path.endswith(":terminate") for path in server.sent("POST"))
