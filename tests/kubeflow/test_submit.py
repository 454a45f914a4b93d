"""``lesiongen pipeline submit``: what is sent, what is refused before, and how the waiting ends."""

import pytest
from kfp_server_api import RecurringRunServiceApi, RunServiceApi
from urllib3.exceptions import NewConnectionError

from pipelines.kubeflow import runs
from pipelines.kubeflow.package import Package
from tests.kubeflow.conftest import PARAMETERS, STEPS, STORED, course
from tests.kubeflow.definitions import SWAGGER, Definitions, Problem

UNTIL_CREATED = 8
"""Requests of a first submit up to the one that creates the run."""


def test_a_run_is_created_and_its_page_is_named(server, profile, submit):
    result = submit("--json")
    assert result.code == 0
    run = next(iter(server.runs.values()))
    assert result.json["run"] == run.id
    assert result.json["url"] == f"{server.address}/#/runs/details/{run.id}"
    assert run.body["runtime_config"]["parameters"] == PARAMETERS
    assert run.body["display_name"].startswith("ham 20")
    assert [step["step"] for step in result.json["steps"]] == STEPS
    assert {step["state"] for step in result.json["steps"]} == {"NOT_STARTED"}


def test_the_version_is_named_by_package_and_digest_and_uploaded_once(server, profile, submit):
    first, second = submit("--json").json, submit("--json", seed=3).json
    package = Package.read(STORED)
    assert first["pipeline_version"] == f"lesiongen-release-0.1.0-{package.digest[:12]}"
    assert (first["reused_version"], second["reused_version"]) == (False, True)
    assert first["run"] != second["run"]
    assert [version["name"] for version in server.versions.values()] == [first["pipeline_version"]]
    assert len(server.pipelines) == len(server.experiments) == 1


def test_another_package_is_another_version_of_the_same_pipeline(server, profile, submit, lesiongen):
    submit()
    given = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    assert lesiongen("submit", "release", "--image", "registry.example/lesiongen:2", *given).code == 0
    assert len(server.versions) == 2
    assert len(server.pipelines) == 1
    images = [
        str(version["pipeline_spec"]).count("registry.example/lesiongen:2") for version in server.versions.values()
    ]
    assert images == [0, 11]


@pytest.mark.parametrize("command", [["submit", "release"], ["schedule", "nightly", "--cron", "0 3 * * *"]])
def test_a_settings_file_says_what_the_cluster_needs(server, profile, lesiongen, tmp_path, command):
    file = tmp_path / "cluster.yaml"
    file.write_text("placement: {node_selector: {pool: science}}\n", encoding="utf-8")
    given = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    assert lesiongen(*command, "--settings", file, *given).code == 0
    (version,) = server.versions.values()
    executors = version["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) == 11
    assert all(each["nodeSelector"]["labels"] == {"pool": "science"} for each in executors.values())


def test_what_the_profile_says_reaches_the_run(server, write_profile, submit):
    server.multi_user = True
    write_profile(
        endpoint=server.address,
        namespace="lesions",
        service_account="runner",
        experiment="trials",
        pipeline_root="s3://bucket/kfp",
        ui="https://kubeflow.example/pipeline",
    )
    result = submit("--run-name", "mine", "--json")
    run = next(iter(server.runs.values())).body
    assert (run["service_account"], run["display_name"]) == ("runner", "mine")
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/kfp"
    assert [(each["display_name"], each["namespace"]) for each in server.experiments.values()] == [
        ("trials", "lesions")
    ]
    assert [each["namespace"] for each in server.pipelines.values()] == ["lesions"]
    assert result.json["url"].startswith("https://kubeflow.example/pipeline/#/runs/details/")


def test_a_file_holds_parameters_and_set_changes_fields_of_them(server, profile, lesiongen, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("source: s3://data\nformat: isic\ngates: {min_seeds: 4, min_test_lesions: 60}\n", encoding="utf-8")
    changes = ["--set", "gates.min_seeds=3", "--set", "evaluate_config.steps=7"]
    assert lesiongen("submit", "--package", STORED, "--parameters", file, *changes).code == 0
    sent = next(iter(server.runs.values())).body["runtime_config"]["parameters"]
    assert sent["gates"] == {"min_seeds": 3, "min_test_lesions": 60}
    assert sent["evaluate_config"] == {"n_seeds": 5, "steps": 7}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "3"}, "source = 3 must be a text"),
        ({"seed": "x"}, "seed = 'x' must be a whole number"),
        ({"seed": "true"}, "seed = True must be a whole number"),
        ({"gates": "[]"}, "gates = [] must be a mapping"),
        ({"sorce": "s3://x"}, "unknown parameter sorce\nDid you mean source? Parameters: "),
        ({"name": "a b"}, "must begin with a letter or digit"),
        ({"format": "jpeg"}, "jpeg"),
        ({"gates.min_seeds": "null"}, "gates.min_seeds is null"),
        ({"gates.min_sedes": "3"}, "Did you mean min_seeds?"),
        ({"finetune_config.optimisation.max_train_steps": "-1"}, "max_train_steps"),
        ({"root": "s4://bucket"}, "s4://bucket"),
        ({"source": "/data/ham"}, "/data/ham is on this machine, and the cluster cannot read it.\nUpload it to S3"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_sent(server, profile, submit, changes, message):
    result = submit(**changes)
    assert result.code == 2
    assert message in result.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "missing parameters format, source\nUse --set format=… --set source=…, or --parameters."),
        (["--set", "format=isic"], "missing parameter source\nUse --set source=…, or"),
    ],
)
def test_missing_parameters_are_named_before_anything_is_sent(server, profile, lesiongen, given, message):
    result = lesiongen("submit", "--package", STORED, *given)
    assert (result.code, server.requests) == (2, [])
    assert message in result.err


def test_an_image_that_no_registry_has_is_named(server, profile, submit, lesiongen):
    warning = "The steps run in the image lesiongen:local, which no registry has"
    assert warning in submit().err
    given = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    assert warning not in lesiongen("submit", "release", "--image", "registry.example/lesiongen:2", *given).err


@pytest.mark.parametrize(
    ("collections", "message"),
    [
        ("[{dataset: a, format: isic, source: s3://a}]", "collections.0: source_revision is missing"),
        ("[{dataset: a, format: isic, source: s3://a, source_revision: ''}]", "at least two"),
    ],
)
def test_collections_are_checked_too(server, profile, lesiongen, collections, message):
    package = STORED.with_name("merge.yaml")
    result = lesiongen("submit", "--package", package, "--set", f"collections={collections}")
    assert (result.code, server.requests) == (2, [])
    assert message in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image", "x:1"], "--image is given with --package"),
        (["merge"], "The name of a pipeline is given with --package"),
        (["--timeout", "3"], "--timeout has no effect without --wait"),
    ],
)
def test_options_without_effect_are_refused(server, profile, submit, words, message):
    result = submit(*words)
    assert (result.code, server.requests) == (2, [])
    assert message in result.err


@pytest.mark.parametrize("text", ["", "[]", "a: 1", "pipelineInfo: {name: x}\nroot: {dags: {}}", "a: [", "- 1\n- 2"])
def test_what_is_not_a_package_is_refused(server, profile, lesiongen, tmp_path, text):
    file = tmp_path / "package.yaml"
    file.write_text(text, encoding="utf-8")
    result = lesiongen("submit", "--package", file)
    assert (result.code, server.requests) == (2, [])
    assert "is not a package of Kubeflow Pipelines" in result.err


def test_waiting_shows_the_steps_and_ends_with_success(server, profile, submit):
    server.course = course("ingest", "validate")
    result = submit("--wait")
    assert result.code == 0
    lines = result.out.splitlines()
    at = lines.index("ingest: RUNNING")
    assert lines[at + 1].startswith("ingest: SUCCEEDED after ")
    assert lines[-1].endswith(" succeeded.")


def test_a_failed_run_ends_with_the_error_of_its_step(server, profile, submit):
    server.course = [
        {"run": "RUNNING", "ingest": "RUNNING"},
        {"ingest": "FAILED", "finish": "SUCCEEDED", "run": "FAILED"},
    ]
    server.logs = {
        "ingest": "Step ingest started\nERROR [ingest] s3://data/ham10000 is empty\nERROR [ingest] Check it.\nx\n"
    }
    result = submit("--wait", "--json")
    assert result.code == 1
    assert result.json["state"] == "FAILED"
    assert "failed at ingest: ERROR [ingest] s3://data/ham10000 is empty\nERROR [ingest] Check it.\n" in result.err
    assert f"lesiongen pipeline logs {result.json['run']} ingest --profile test\n" in result.err


def test_of_an_error_without_words_the_end_of_the_log_is_shown(server, profile, submit):
    server.course = [{"ingest": "FAILED", "run": "FAILED"}]
    server.logs = {"ingest": "".join(f"line {number}\n" for number in range(40))}
    result = submit("--wait")
    assert "line 39" in result.err
    assert "line 14\n" not in result.err


def test_a_run_that_does_not_end_is_left_running(server, profile, submit):
    server.course = [{"run": "RUNNING", "ingest": "RUNNING"}]
    result = submit("--wait", "--timeout", "0.2", "--json")
    assert (result.code, result.json["state"]) == (75, "RUNNING")
    assert "has not ended: RUNNING" in result.err
    assert next(iter(server.runs.values())).states["run"] == "RUNNING"


def test_a_run_that_somebody_cancels_is_not_a_success(server, profile, submit):
    server.course = [{"run": "RUNNING"}, {"run": "CANCELED"}]
    result = submit("--wait")
    assert result.code == 1
    assert "ended: CANCELED" in result.err


def test_a_server_that_is_away_for_a_while_is_waited_for(server, profile, submit):
    server.course = course("ingest")
    server.failing = [*[200] * UNTIL_CREATED, 503, "drop", 401, 502, 200]
    result = submit("--wait")
    assert result.code == 0
    assert result.err.count("Trying again for 5 minutes") == 1


@pytest.mark.parametrize("answer", [401, "redirect", "page", "sign-in"])
def test_expired_credentials_can_be_renewed_while_a_run_is_waited_for(server, token_file, submit, answer):
    server.course = course("ingest")
    server.failing = [*[200] * UNTIL_CREATED, answer, answer, 200]
    result = submit("--wait")
    assert result.code == 0
    assert result.err.count(f"Write a valid token or cookie to {token_file}. Trying again for 5 minutes") == 1


def test_the_file_of_the_credentials_may_be_empty_or_missing_while_it_is_written(server, token_file, submit):
    def renew():
        server.token = "the-second-of-the-tokens"
        token_file.write_text(server.token, encoding="utf-8")

    server.course = course("ingest", "validate")
    empty = lambda: token_file.write_text("", encoding="utf-8")  # noqa: E731
    server.failing = [*[200] * UNTIL_CREATED, empty, 200, token_file.unlink, 200, renew, 200]
    result = submit("--wait")
    assert (result.code, result.err.count("Trying again")) == (0, 1)


@pytest.mark.parametrize("failure", ["lost", 504])
def test_without_an_answer_the_run_may_have_been_created(server, profile, submit, failure):
    server.failing = [*[200] * (UNTIL_CREATED - 1), failure, 200]
    result = submit("--experiment", "two words", "--run-name", "mine")
    assert (result.code, len(server.runs)) == (1, failure == "lost")
    look = "lesiongen pipeline status latest --profile test --experiment 'two words'"
    assert f"The run mine may have been created. Check before submitting again: {look}\n" in result.err


@pytest.mark.parametrize("command", [["submit"], ["schedule", "nightly", "--cron", "0 3 * * *"]])
def test_without_a_connection_nothing_was_created(server, profile, lesiongen, monkeypatch, command):
    def refused(*_, **__):
        raise NewConnectionError(None, "[Errno 111] Connection refused")

    for kind, name in ((RunServiceApi, "run"), (RecurringRunServiceApi, "recurring_run")):
        monkeypatch.setattr(kind, f"{name}_service_create_{name}_with_http_info", refused)
    given = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    result = lesiongen(*command, "--package", STORED, *given)
    assert (result.code, "may have been created" in result.err) == (1, False)
    assert "Connection refused.\nCheck the endpoint of the profile" in result.err


def test_the_time_to_wait_is_over_whether_the_server_is_away_or_not(server, profile, submit):
    server.course = course("ingest")
    server.failing = [*[200] * UNTIL_CREATED, 503]
    result = submit("--wait", "--timeout", "0.2", "--json")
    assert (result.code, result.json["run"]) == (75, next(iter(server.runs)))


def test_a_server_that_stays_away_ends_the_waiting(server, profile, submit, monkeypatch):
    monkeypatch.setattr(runs, "OUTAGE_SECONDS", 0.1)
    server.course = course("ingest")
    server.failing = [*[200] * UNTIL_CREATED, 503]
    result = submit("--wait")
    assert result.code == 1
    assert "is failing (503)" in result.err
    assert f"Run {next(iter(server.runs.values())).body['display_name']}" in result.out


@pytest.mark.skipif(not SWAGGER.exists(), reason=f"bodies are not checked: the API's description is not at {SWAGGER}")
def test_the_double_checks_bodies_against_the_api():
    definitions = Definitions()
    definitions.check_body("v2beta1Run", {"display_name": "x", "runtime_config": {"parameters": {"a": 1}}})
    for wrong in ({"displayed": "x"}, {"display_name": 3}, {"runtime_config": {"params": {}}}, {"state": "DONE"}):
        with pytest.raises(Problem):
            definitions.check_body("v2beta1Run", wrong)
