"""The compose file and the script that makes its secrets, as far as they can be read without pulling images."""

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.infra.compose_file import COMPOSE, clean_environment, document, interpolated, make_env, variables

S3_SERVERS = ("minio", "seaweedfs")
SECRET = re.compile(r"(PASSWORD|SECRET_KEY|SECRET_ACCESS_KEY)$")


@pytest.fixture(scope="module")
def env_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("compose") / ".env"
    made = make_env(path)
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture(scope="module")
def services():
    return document()["services"]


@pytest.fixture(scope="module")
def filled(env_file):
    return interpolated(document(), variables(env_file))


@pytest.fixture(scope="module")
def mlflow_options(filled):
    program, command, *arguments = filled["services"]["mlflow"]["command"]
    assert (program, command) == ("mlflow", "server")
    return {option.partition("=")[0]: option.partition("=")[2] for option in arguments}


def test_the_secrets_are_new_long_and_for_the_owner_alone(tmp_path):
    made = [tmp_path / "a.env", tmp_path / "b.env"]
    umask = os.umask(0)
    try:
        assert [make_env(path).returncode for path in made] == [0, 0]
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in made] == [0o600, 0o600]
    first, second = map(variables, made)
    secrets = [name for name in first if SECRET.search(name)]
    assert len(secrets) == 6
    assert len({each[name] for each in (first, second) for name in secrets}) == 12
    # MinIO takes at most 40 characters for the secret key of a user.
    assert all(40 <= len(first[name]) <= 64 for name in secrets)
    assert {len(first[name]) for name in secrets if "S3" in name} == {40}


def test_a_file_of_secrets_is_never_overwritten(env_file):
    before = env_file.read_bytes()
    made = make_env(env_file)
    assert made.returncode == 2
    assert "exists: the volumes are made with its secrets" in made.stderr
    assert env_file.read_bytes() == before


@pytest.mark.parametrize("name", [".env", "of a team/my settings.env"])
def test_the_file_is_read_by_the_line_that_it_names(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    command = [sys.executable, str(COMPOSE.parent / "make-env"), "--output", name]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    (line,) = re.findall(r"^# On this machine, for lesiongen: (.+)$", (tmp_path / name).read_text(), re.MULTILINE)
    shown = ["sh", "-c", f"{line}; printenv LESIONGEN_MLFLOW_URI"]
    read = subprocess.run(shown, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert (read.stdout, read.stderr) == ("http://127.0.0.1:5000\n", "")


def test_no_secret_is_printed(tmp_path):
    made = make_env(tmp_path / ".env", "--s3", "seaweedfs", "--s3-port", "9100", "--mlflow-port", "5100")
    values = variables(tmp_path / ".env")
    assert not any(value in made.stdout + made.stderr for name, value in values.items() if SECRET.search(name))
    assert values["COMPOSE_PROFILES"] == "seaweedfs"
    assert values["LESIONGEN_S3_ENDPOINT_URL"] == "http://127.0.0.1:9100"
    assert values["LESIONGEN_MLFLOW_URI"] == "http://127.0.0.1:5100"


def test_every_secret_comes_from_the_file_and_must_be_set(services, env_file):
    found = [
        (name, value)
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if SECRET.search(name) or name == "PGPASSWORD"
    ]
    assert len(found) == 11
    for name, value in found:
        match = re.fullmatch(r"\$\{(\w+):\?run infra/make-env\}", value)
        assert match and match[1] in variables(env_file), name
    commands = [part for service in services.values() for part in service.get("command", [])]
    assert not any(name in part for name in variables(env_file) for part in commands)


def test_every_port_is_open_on_this_machine_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_have_versions_and_can_be_replaced(services):
    for name, service in services.items():
        version = r"local" if name == "lesiongen" else r"[^}]*\d[^}]*"
        assert re.match(rf"\$\{{[A-Z]+_IMAGE:-[^}}]+:{version}\}}$", service["image"]), name
    assert services["minio"]["image"].startswith("${MINIO_IMAGE:-quay.io/"), "the repository on Docker Hub is gone"
    assert services["lesiongen"]["pull_policy"] == "never", "a name without a registry could be anybody's"


def test_mlflow_keeps_to_postgresql_and_s3_and_sends_no_statistics(filled, mlflow_options):
    environment = filled["services"]["mlflow"]["environment"]
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == environment["DO_NOT_TRACK"] == "true"
    assert mlflow_options["--backend-store-uri"] == "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    assert "--serve-artifacts" in mlflow_options
    assert mlflow_options["--artifacts-destination"] == "s3://lesiongen-mlflow"
    assert f"database_uri = {mlflow_options['--backend-store-uri']}\n" in filled["configs"]["mlflow-login"]["content"]


def test_mlflow_answers_to_its_own_names_only(mlflow_options):
    patterns = mlflow_options["--allowed-hosts"].split(",")  # MLflow matches them with fnmatch
    for host in ("localhost:5000", "127.0.0.1:5000", "mlflow:5000"):
        assert any(fnmatch(host, pattern) for pattern in patterns)
    for host in ("evil.example:5000", "10.0.0.1:5000", "mlflow.evil.example"):
        assert not any(fnmatch(host, pattern) for pattern in patterns)


def test_the_installed_mlflow_knows_every_option(mlflow_options):
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--help"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for option in mlflow_options:
        assert re.search(rf"{option}\b", told), option


def test_nothing_starts_before_what_it_needs_is_ready(services):
    assert services["mlflow"]["depends_on"] == {
        "minio-users": {"condition": "service_completed_successfully", "required": False},
        "seaweedfs": {"condition": "service_healthy", "required": False},
        "postgres": {"condition": "service_healthy"},
    }
    assert services["minio-users"]["depends_on"] == {"minio": {"condition": "service_healthy"}}
    assert services["lesiongen"]["depends_on"] == {"mlflow": {"condition": "service_healthy"}}
    for name in (*S3_SERVERS, "postgres", "mlflow"):
        assert services[name]["healthcheck"]["test"][0].startswith("CMD")


def test_the_s3_servers_take_each_others_place(services):
    for name in S3_SERVERS:
        assert services[name]["profiles"] == [name]
        assert services[name]["networks"] == {"storage": {"aliases": ["s3"]}}
        assert services[name]["ports"] == ["127.0.0.1:${S3_PORT:-9000}:9000"]
    assert "-s3.port=9000" in services["seaweedfs"]["command"]


def test_users_of_s3_have_one_bucket_each_and_nobody_a_service_account(filled):
    for user, bucket in {"lesiongen": "lesiongen", "mlflow": "lesiongen-mlflow"}.items():
        policy = json.loads(filled["configs"][f"minio-policy-{user}"]["content"])
        resources = [each for statement in policy["Statement"] for each in statement["Resource"]]
        assert resources == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        actions = {each for statement in policy["Statement"] for each in statement["Action"]}
        assert not any("*" in action or "Policy" in action for action in actions)
    assert "svcacct" not in COMPOSE.read_text()
    assert "accesskey create" not in COMPOSE.read_text()


def test_the_shell_can_read_what_makes_the_users(filled):
    (script,) = filled["services"]["minio-users"]["command"]
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("attached", [False, True])
def test_users_are_made_again_without_an_error(filled, tmp_path, attached):
    (script,) = filled["services"]["minio-users"]["command"]
    program = tmp_path / "mc"
    fails = "echo 'The specified policy change is already in effect.' >&2; exit 1" if attached else "true"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ncase "$3" in attach) {fails} ;; esac\n')
    program.chmod(0o755)
    environment = filled["services"]["minio-users"]["environment"] | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-ec", script], env=environment, check=True)
    asked = (tmp_path / "asked").read_text()
    for user, secret in (("lesiongen", "LESIONGEN_SECRET_KEY"), ("mlflow", "MLFLOW_SECRET_KEY")):
        assert f"admin policy create store {user} /policies/{user}.json\n" in asked
        assert f"admin user add store {user} {environment[secret]}\n" in asked
        assert f"admin policy attach store {user} --user {user}\n" in asked
    program.write_text('#!/bin/sh\ncase "$3" in attach) echo "no such policy"; exit 1 ;; esac\n')
    failed = subprocess.run(["/bin/sh", "-ec", script], env=environment, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (1, "no such policy\n")


def test_containers_gain_no_rights(services):
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert services["lesiongen"]["read_only"] is True
    assert services["lesiongen"]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("server", S3_SERVERS)
def test_compose_takes_the_file(server, tmp_path):
    program = _compose()
    make_env(tmp_path / ".env", "--s3", server)
    command = [*program, "--env-file", str(tmp_path / ".env"), "--file", str(COMPOSE)]

    def ask(*options: str) -> str:
        environment = clean_environment()
        return subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True).stdout

    started = {server, "postgres", "mlflow"} | ({"minio-users"} if server == "minio" else set())
    assert set(ask("config", "--services").split()) == started
    whole = yaml.safe_load(ask("--profile", "tools", "config"))
    assert whole["services"]["lesiongen"]["environment"]["LESIONGEN_S3_ENDPOINT_URL"] == "http://s3:9000"


def _compose() -> list[str]:
    """Docker Compose 2, on its own or as a part of docker."""
    for program in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(program[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"):
            version = subprocess.run([*program, "version", "--short"], capture_output=True, text=True, check=False)
            if version.returncode == 0 and version.stdout.lstrip("v").startswith("2."):
                return program
    pytest.skip("there is no Docker Compose 2")
