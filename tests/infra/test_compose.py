"""The compose file, as far as it can be read without pulling its images."""

import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "infra" / "compose.yaml"
SECRETS = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "S3_USER", "S3_PASSWORD", "POSTGRES_PASSWORD")
SECRETS += ("PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.fixture(scope="module")
def mlflow_options(services):
    program, command, *arguments = [_default(part) for part in services["mlflow"]["command"]]
    assert (program, command) == ("mlflow", "server")
    return {option.partition("=")[0]: option.partition("=")[2] for option in arguments}


def test_secrets_come_from_the_environment_and_must_be_set(services):
    found = {
        (service, name): value
        for service, each in services.items()
        for name, value in each.get("environment", {}).items()
        if name in SECRETS
    }
    assert len(found) == len(SECRETS)
    for place, value in found.items():
        assert re.fullmatch(r"\$\{(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|POSTGRES_PASSWORD):\?.*\}", value), place
    for service in services.values():
        assert "$" + "{" not in " ".join(service.get("command", [])).replace("${MLFLOW_ALLOWED_HOSTS", "")


def test_every_port_is_open_on_this_machine_only(services):
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_have_versions_and_can_be_replaced(services):
    for name, service in services.items():
        assert re.match(r"\$\{[A-Z]+_IMAGE:-[^}]+:[^}]*\d[^}]*\}$", service["image"]), name
        assert "latest" not in service["image"]


def test_mlflow_keeps_to_postgresql_and_s3_and_sends_no_statistics(services, mlflow_options):
    assert services["mlflow"]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert services["mlflow"]["environment"]["DO_NOT_TRACK"] == "true"
    assert mlflow_options["--backend-store-uri"].startswith("postgresql")
    assert "password" not in mlflow_options["--backend-store-uri"]
    assert "--serve-artifacts" in mlflow_options
    assert mlflow_options["--artifacts-destination"] == "s3://lesiongen/mlflow"


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
    needed = {name: each["condition"] for name, each in services["mlflow"]["depends_on"].items()}
    assert needed == {"bucket": "service_completed_successfully", "postgres": "service_healthy"}
    assert services["bucket"]["depends_on"] == {"minio": {"condition": "service_healthy"}}
    for name in ("minio", "postgres", "mlflow"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"


def _default(text):
    """Puts a variable's default in its place, as compose does when the variable is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
