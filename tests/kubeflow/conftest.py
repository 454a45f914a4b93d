"""The server's double, a profile that leads to it, packages, and the command."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lesiongen.cli import app
from pipelines.kubeflow import runs
from tests.kubeflow.definitions import ROOT
from tests.kubeflow.server import kubeflow

STORED = ROOT / "tests" / "pipelines" / "release.yaml"
PARAMETERS = {"source": "s3://data/ham10000", "format": "ham10000", "name": "ham", "root": "s3://bucket/release"}
STEPS = "ingest validate require-passed caption finetune reconstruct sample evaluate register promote finish".split()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    with kubeflow(folder) as running:
        yield running


@pytest.fixture
def write_profile(tmp_path, monkeypatch):
    """Writes the file of the profiles, with one profile; returns the file."""

    def write(**fields):
        path = tmp_path / "profiles.yaml"
        path.write_text(yaml.safe_dump({"test": {"timeout": 20, **fields}}), encoding="utf-8")
        monkeypatch.setenv("LESIONGEN_PROFILES", str(path))
        return path

    return write


@pytest.fixture
def profile(server, write_profile):
    """A profile that leads to the double."""
    return write_profile(endpoint=server.address)


@pytest.fixture
def token_file(server, write_profile, tmp_path):
    """The file of the token that the double asks for, which the profile names."""
    server.token = "the-first-of-the-tokens"
    path = tmp_path / "token"
    path.write_text(server.token, encoding="utf-8")
    path.chmod(0o600)
    write_profile(endpoint=server.address, token_file="token")
    return path


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.02)


@dataclass
class Result:
    """What a command has written, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def lesiongen(monkeypatch, capsys):
    """Gives a function that runs ``lesiongen pipeline`` with the test's profile, as `main` does."""

    def run(command, *words):
        monkeypatch.setattr(sys, "argv", ["lesiongen", "pipeline", command, "--profile", "test", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            app.main()
        except SystemExit as ended:
            code = ended.code or 0
        written = capsys.readouterr()
        assert "Traceback" not in written.err
        return Result(code, written.out, written.err)

    return run


@pytest.fixture
def submit(lesiongen):
    """Gives a function that submits the stored release package."""

    def run(*words, **changes):
        given = [f"--set={name}={value}" for name, value in {**PARAMETERS, **changes}.items()]
        return lesiongen("submit", "--package", STORED, *given, *words)

    return run


def course(*ended: str, run: str = "SUCCEEDED") -> list[dict[str, str]]:
    """Returns a course on which steps succeed one after the other, then the run ends."""
    states = [{name: state} for name in ended for state in ("RUNNING", "SUCCEEDED")]
    return [{"run": "RUNNING"}, *states, {"run": run}]


def package_of(path: Path, pipeline) -> Path:
    """Compiles a pipeline of a test."""
    from kfp import compiler

    compiler.Compiler().compile(pipeline, str(path))
    return path
