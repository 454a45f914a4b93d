"""The local stack with its real servers."""

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import pytest
import typer
from botocore.config import Config
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from lesiongen.cli import stack as stack_commands
from lesiongen.errors import ServiceError
from lesiongen.redaction import redact
from lesiongen.stack import ServerStatus, Stack, StackStatus, running_stack, servers, use_running_stack
from lesiongen.stack import processes as stack_processes
from lesiongen.stack.local import SERVER_VARIABLES


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack") / "home"
    yield folder
    Stack(folder).down(force=True)


@pytest.fixture
def stack(home):
    stack = Stack(home)
    stack.up()
    return stack


def commands(name):
    app = typer.Typer()
    app.command(name)(getattr(stack_commands, f"{name}_command"))
    return app


def run_status(stack):
    return CliRunner().invoke(commands("status"), ["--home", str(stack.home.path)])


def client(environment, secret=None):
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
        config=Config(proxies={}, retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def test_up_gives_servers_that_work_and_up_again_leaves_them_alone(stack):
    first = stack.status()
    assert first.running
    assert set(first.pids) == {"s3", "mlflow"}
    assert first.servers[0].resident_mb > 20
    again = Stack(stack.home.path).up()
    assert again.pids == first.pids
    assert again.s3_endpoint == stack.environment()["AWS_ENDPOINT_URL"]

    s3 = client(stack.environment())
    s3.put_object(Bucket="lesiongen", Key="kept", Body=b"data")
    assert s3.get_object(Bucket="lesiongen", Key="kept")["Body"].read() == b"data"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="lesiongen")["Contents"]] == ["kept"]
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(stack.environment(), secret="0" * 64).put_object(Bucket="lesiongen", Key="x", Body=b"")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.put_object(Bucket="nobody-made-this", Key="x", Body=b"")


def test_both_servers_listen_on_loopback_only_and_tell_nobody_anything(stack):
    listening = [
        connection
        for process in stack_processes.find(stack.home.path)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert {connection.laddr.port for connection in listening} == set(stack.home.ports().values())
    (weed,) = stack_processes.find(stack.home.path, "s3")
    assert "-master.telemetry=false" in weed.cmdline()
    mlflow = stack_processes.find(stack.home.path, "mlflow")[0]
    assert mlflow.environ()["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_secrets_are_for_the_owner_and_stay_out_of_logs_and_command_lines(stack):
    assert stat.S_IMODE(stack.home.path.stat().st_mode) == 0o700
    for path in (*stack.home.path.iterdir(), *stack.home.logs.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for name in ("credentials.json", "security.toml", "grpc.key", "mlflow-auth.ini", "mlflow-auth.db", "mlflow.db"):
        assert stat.S_IMODE((stack.home.path / name).stat().st_mode) == 0o600, name
    secret = stack.environment()["AWS_SECRET_ACCESS_KEY"]
    assert len(secret) == 64
    for hidden in (secret, stack.environment()["MLFLOW_TRACKING_PASSWORD"]):
        for log in stack.status().logs.values():
            assert hidden not in log.read_text()
        for process in stack_processes.find(stack.home.path):
            assert hidden not in " ".join(process.cmdline())
        assert hidden not in CliRunner().invoke(commands("up"), ["--home", str(stack.home.path)]).output


def test_after_killed_servers_the_next_up_works_on_the_same_data(stack):
    client(stack.environment()).put_object(Bucket="lesiongen", Key="before-crash", Body=b"still here")
    before = stack.environment()
    # The MLflow command dies and leaves its web server behind, holding the port.
    for name in ("s3", "mlflow"):
        stack_processes.find(stack.home.path, name)[0].send_signal(signal.SIGKILL)
    orphans = _until(lambda: [p.pid for p in stack_processes.find(stack.home.path)], lambda left: len(left) == 1)
    assert len(orphans) == 1
    assert not stack.status().running

    # As an older version left it: without a login, and without security settings.
    credentials = stack.home.path / "credentials.json"
    known = json.loads(credentials.read_text())
    credentials.write_text(json.dumps({name: known[name] for name in ("access_key", "secret_key")}))
    (stack.home.path / "security.toml").unlink()
    with pytest.raises(ServiceError, match="older version"):
        stack.environment()

    status = stack.up()
    assert status.running
    assert not psutil.pid_exists(orphans[0])
    changed = {name for name, value in stack.environment().items() if value != before[name]}
    assert changed == {"MLFLOW_TRACKING_PASSWORD"}
    body = client(stack.environment()).get_object(Bucket="lesiongen", Key="before-crash")["Body"].read()
    assert body == b"still here"


def test_the_commands_start_describe_and_export(stack):
    run = CliRunner().invoke
    home = ["--home", str(stack.home.path)]
    assert stack.status().mlflow_uri in run(commands("up"), home).output
    told = run(commands("status"), [*home, "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output)["running"] is True
    exported = run(commands("status"), [*home, "--export"]).output
    shell = subprocess.run(
        ["sh", "-c", f'{exported}\nprintf %s "$AWS_SECRET_ACCESS_KEY"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == stack.environment()["AWS_SECRET_ACCESS_KEY"]


def test_a_run_leaves_servers_running_that_were_started_by_hand(stack):
    with running_stack(stack.home.path):
        pass
    assert stack.status().running
    stack.home.for_users_only.touch()  # as if a run had started them; then a person says `up`
    stack.up()
    with running_stack(stack.home.path):
        pass
    assert stack.status().running


def test_a_password_that_mlflow_does_not_know_is_reported(stack):
    credentials = stack.home.path / "credentials.json"
    known = credentials.read_text()
    credentials.write_text(json.dumps({**json.loads(known), "mlflow_password": secrets.token_hex(16)}))
    try:
        with pytest.raises(ServiceError, match="refuses the password"):
            stack.up()
    finally:
        credentials.write_text(known)
    assert stack.up().running


def test_down_leaves_no_process_no_socket_and_no_port_and_other_programs_alone(stack):
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, stack_processes.HOME_MARK: str(stack.home.path) + "-of-someone-else"},
    )
    try:
        ports = stack.home.ports()
        down = ["--home", str(stack.home.path)]
        with stack.used():
            refused = CliRunner().invoke(commands("down"), down)
            assert "still running" in str(refused.exception)
            assert stack.status().running
            assert CliRunner().invoke(commands("down"), [*down, "--force"]).exit_code == 0
        assert stack_processes.find(stack.home.path) == []
        assert [path for path in Path("/tmp").glob("seaweedfs-*.sock") if str(ports["s3"]) in path.name] == []
        assert run_status(stack).exit_code == 1
        assert stack.status().pids == {}
        assert other.poll() is None
        stack.down()  # fine when nothing runs
    finally:
        other.kill()
        other.wait()


@pytest.mark.server
def test_a_starter_killed_half_way_leaves_nothing_that_the_next_command_does_not_find(home):
    Stack(home).down()
    code = f"from lesiongen.stack import Stack; Stack({str(home)!r}).up()"
    starter = subprocess.Popen([sys.executable, "-c", code])
    _until(lambda: stack_processes.find(home), lambda found: len(found) >= 2)
    starter.kill()
    starter.wait()
    assert stack_processes.find(home) != []
    Stack(home).down()
    assert stack_processes.find(home) == []


@pytest.mark.server
def test_a_server_that_cannot_start_is_reported_and_the_other_stopped(tmp_path):
    stack = Stack(tmp_path)
    stack.home.create()
    (stack.home.objects / "filerldb2").write_bytes(b"a file where the server keeps a folder")
    with pytest.raises(ServiceError, match="The s3 server ended while starting") as caught:
        stack.up()
    assert "filerldb2" in str(caught.value)
    assert stack_processes.find(stack.home.path) == []


def another_run(home, inside="input()"):
    """Starts a process that uses the servers until it is told to end, and waits until it has them."""
    code = f"from lesiongen.stack import running_stack\nwith running_stack({str(home)!r}): print('has them'); {inside}"
    run = subprocess.Popen(
        [sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout.readline() == "has them\n", run.stderr.read()
    return run


@pytest.mark.server
def test_the_last_of_several_runs_stops_the_servers(home, monkeypatch):
    Stack(home).down()
    with use_running_stack(home) as used:
        assert not used
    first = another_run(home)
    with running_stack(home) as stack:
        assert os.environ["MLFLOW_TRACKING_URI"] == stack.status().mlflow_uri
        with use_running_stack(home) as used:
            assert not used  # the environment names servers already
        started = stack.status().pids
        first.communicate("\n", timeout=120)
        assert first.returncode == 0
        assert stack.status().pids == started
        with running_stack(home):
            pass
        killed = another_run(home)
        killed.kill()
        killed.communicate()
        assert stack.status().pids == started
        assert servers.accepts_writes(stack.home.credentials(), stack.home.ports())
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert Stack(home).status().pids == {}


def test_servers_that_the_last_user_is_stopping_are_not_taken(tmp_path, monkeypatch):
    """Their last user has looked whether there is another, and stops them: a moment later they do not answer."""
    stack, pid = Stack(tmp_path / "home"), [1]
    stack.home.create()

    def status(self):
        names = ("s3", "mlflow")
        listed = tuple(ServerStatus(name, None, pid[0], pid[0] is not None, 0.0, tmp_path) for name in names)
        return StackStatus(self.home.path, listed)

    def take():
        with use_running_stack(stack.home.path) as taken:
            return taken

    monkeypatch.setattr(Stack, "status", status)
    for name in SERVER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with ThreadPoolExecutor(1) as pool:
        with stack.home.lock():
            taken = pool.submit(take)
            _until(stack.home.in_use, bool)
            time.sleep(0.2)
            pid[0] = None
        assert taken.result() is False


def test_the_secrets_of_a_home_are_known_where_no_variable_holds_them(tmp_path):
    home = Stack(tmp_path / "home").home
    home.create()
    made = home.ensure_credentials()
    for secret in (made.secret_key, made.mlflow_password):
        assert secret not in os.environ.values()
        assert redact(f"the log says {secret}") == "the log says ***"


@pytest.mark.parametrize(
    "name",
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "MLFLOW_TRACKING_URI"],
)
def test_servers_and_keys_of_the_environment_go_before_the_stack(stack, monkeypatch, name):
    monkeypatch.setenv(name, "theirs")
    before = dict(os.environ)
    with use_running_stack(stack.home.path) as used:
        assert not used
        assert dict(os.environ) == before


def test_a_stack_that_is_taken_by_itself_is_told(stack, monkeypatch, caplog):
    for name in stack.environment():
        monkeypatch.setenv(name, "")  # an empty variable names nothing
    with caplog.at_level("INFO"), use_running_stack(stack.home.path) as used:
        assert used
        assert f"Using the local servers of {stack.home.path}" in caplog.text
        assert os.environ["MLFLOW_TRACKING_URI"] == stack.status().mlflow_uri
    assert os.environ["MLFLOW_TRACKING_URI"] == ""


def test_what_the_environment_names_does_not_mix_with_the_stack(stack, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "theirs")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "theirs")
    with running_stack(stack.home.path):
        assert "MLFLOW_TRACKING_TOKEN" not in os.environ
        assert "AWS_ENDPOINT_URL_S3" not in os.environ
        assert "AWS_SESSION_TOKEN" not in os.environ
    assert os.environ["AWS_SESSION_TOKEN"] == "theirs"


def _until(look, good, seconds=30):
    deadline = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
