"""What the embedded servers give to another user of the machine, and to a page in a browser."""

import base64
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import mlflow
import psutil
import pytest
from mlflow.exceptions import MlflowException

from lesiongen.stack import processes, servers
from lesiongen.stack.home import Credentials

NOBODY = 65534
MARK, CONTENT, LISTED = "patient-0815", "what only its owner reads", "a-name-that-nobody-asks-for"
FOREIGN = {"Origin": "https://evil.example", "Host": "evil.example"}

# Run by another user, with the standard library alone: asks every port in every way, and prints what came back.
PROBE = r"""
import http.client, json, socket, ssl, sys
ports, paths, sockets, foreign = json.loads(sys.argv[1])
found = {"http": [], "grpc": [], "sockets": []}
for port in ports:
    for headers in ({}, foreign):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            for path in paths:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                try:
                    connection.request(method, path, body=b"x" if method in ("POST", "PUT") else None, headers=headers)
                    answer = connection.getresponse()
                    body = answer.read(100_000).decode("latin-1")
                    found["http"].append([port, method, path, answer.status, body])
                except (OSError, http.client.HTTPException):
                    pass
                finally:
                    connection.close()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    for tls in (False, True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                connection = context.wrap_socket(plain) if tls else plain
                connection.sendall(preface)
                answer = connection.recv(9)
                found["grpc"].append([port, tls, len(answer) == 9 and answer[3] == 4])
        except OSError:
            found["grpc"].append([port, tls, False])
for path in sockets:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
        found["sockets"].append(path)
    except PermissionError:
        pass
print(json.dumps(found))
"""


@pytest.fixture
def another_user():
    """Returns how another user runs Python, or how this one does where no other can be become."""
    if os.getuid() != 0:
        return [sys.executable], {}
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    for interpreter in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")):
        try:
            subprocess.run([interpreter, "-c", ""], check=True, cwd="/", capture_output=True, **identity)
        except (OSError, TypeError, subprocess.CalledProcessError):
            continue
        return [interpreter], identity
    pytest.skip("there is no Python that another user may run")


@pytest.fixture
def s3(stack_environment):
    return boto3.client("s3", endpoint_url=stack_environment["AWS_ENDPOINT_URL"])


def listening(stack):
    """Returns the TCP ports and the Unix sockets on which the stack's processes listen, whatever they are for."""
    found = processes.find(stack.home.path)
    inet = [connection for process in found for connection in process.net_connections("inet")]
    unix = [connection.laddr for process in found for connection in process.net_connections("unix")]
    ports = {connection.laddr.port for connection in inet if connection.status == psutil.CONN_LISTEN}
    return sorted(ports), sorted({path for path in unix if Path(path).is_socket()})


def test_another_user_and_a_foreign_page_read_write_and_delete_nothing_on_any_port(stack, s3, another_user):
    key = f"{MARK}/{MARK}.parquet"
    for name in (key, f"{MARK}/{LISTED}"):
        s3.put_object(Bucket="lesiongen", Key=name, Body=CONTENT.encode() * 10_000)
    ports, sockets = listening(stack)
    assert set(ports) == set(stack.home.ports().values())
    assert len(sockets) >= 5
    paths = [
        "/", f"/buckets/lesiongen/{key}", f"/buckets/lesiongen/{MARK}/?recursive=true", f"/lesiongen/{key}",
        "/lesiongen", "/buckets/", "/dir/assign?collection=lesiongen", "/dir/lookup?volumeId=1", "/dir/status",
        "/vol/status", "/col/delete?collection=lesiongen", "/1,01637037d6", "/status", "/metrics",
        f"/api/2.0/mlflow-artifacts/artifacts/{MARK}", "/api/2.0/mlflow/experiments/search?max_results=9", "/version",
    ]  # fmt: skip
    interpreter, identity = another_user
    asked = json.dumps([ports, paths, sockets, FOREIGN])
    told = subprocess.run(
        [*interpreter, "-c", PROBE, asked], check=True, capture_output=True, text=True, cwd="/", **identity
    )
    found = json.loads(told.stdout)

    assert found["http"]  # the probe has reached what it was meant to
    assert [row[:4] for row in found["http"] if CONTENT in row[4] or LISTED in row[4]] == []
    # What answers at all tells numbers of the server, or nothing.
    open_paths = {path for _, method, path, status, _ in found["http"] if status < 400 and method != "OPTIONS"}
    assert open_paths <= {"/", "/status", "/metrics"}
    assert [row for row in found["grpc"] if row[2]] == []
    if identity:
        assert found["sockets"] == []
    assert s3.get_object(Bucket="lesiongen", Key=key)["Body"].read() == CONTENT.encode() * 10_000
    listed = s3.list_objects_v2(Bucket="lesiongen", Prefix=MARK)["Contents"]
    assert {entry["Key"] for entry in listed} == {key, f"{MARK}/{LISTED}"}


def test_s3_keeps_multipart_uploads_ranges_copies_and_listings(s3):
    body = os.urandom(20 * 2**20)
    s3.upload_fileobj(io.BytesIO(body), "lesiongen", "parts/large")  # in parts of 8 MiB
    assert s3.head_object(Bucket="lesiongen", Key="parts/large")["ETag"].strip('"').endswith("-3")
    ranged = s3.get_object(Bucket="lesiongen", Key="parts/large", Range="bytes=8388600-8388619")
    assert ranged["Body"].read() == body[8388600:8388620]
    s3.copy({"Bucket": "lesiongen", "Key": "parts/large"}, "lesiongen", "parts/copy")
    assert s3.get_object(Bucket="lesiongen", Key="parts/copy")["Body"].read() == body
    s3.delete_object(Bucket="lesiongen", Key="parts/large")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="lesiongen", Prefix="parts")["Contents"]] == [
        "parts/copy"
    ]


def test_the_alias_of_a_champion_is_moved_by_the_owner_alone(stack_environment, monkeypatch):
    owner = mlflow.MlflowClient(tracking_uri=stack_environment["MLFLOW_TRACKING_URI"])
    owner.create_registered_model("guarded")
    for _ in range(2):
        owner.create_model_version("guarded", source="s3://lesiongen/guarded")
    owner.set_registered_model_alias("guarded", "champion", "1")
    for user, password in ((None, None), ("lesiongen", "wrong"), ("admin", "password1234")):
        with monkeypatch.context() as changed:
            for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
                changed.delenv(name) if value is None else changed.setenv(name, value)
            stranger = mlflow.MlflowClient(tracking_uri=stack_environment["MLFLOW_TRACKING_URI"])
            for act, arguments in (
                (stranger.set_registered_model_alias, ("guarded", "champion", "2")),
                (stranger.delete_registered_model_alias, ("guarded", "champion")),
                (stranger.search_experiments, ()),
            ):
                with pytest.raises(MlflowException, match="401|not authenticated"):
                    act(*arguments)
    assert owner.get_model_version_by_alias("guarded", "champion").version in (1, "1")


def test_mlflow_refuses_a_foreign_page_even_with_the_login(stack_environment):
    address = stack_environment["MLFLOW_TRACKING_URI"].removeprefix("http://")
    login = f"{stack_environment['MLFLOW_TRACKING_USERNAME']}:{stack_environment['MLFLOW_TRACKING_PASSWORD']}"
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    body = json.dumps({"name": MARK})

    def status(method, path, body=None, **more):
        connection = http.client.HTTPConnection(address, timeout=30)
        try:
            connection.request(method, path, body, {**headers, "Content-Type": "application/json", **more})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Access-Control-Allow-Origin")
        finally:
            connection.close()

    search, create = (f"/api/2.0/mlflow/experiments/{act}" for act in ("search?max_results=1", "create"))
    assert status("GET", search) == (200, None)
    assert status("GET", search, Host=FOREIGN["Host"])[0] == 403
    assert status("POST", create, body, Origin=FOREIGN["Origin"])[0] == 403
    assert status("GET", search, Origin=FOREIGN["Origin"])[1] is None  # the browser keeps the answer from the page


def test_artifacts_go_through_the_server_with_the_login(stack_environment, tmp_path):
    mlflow.set_tracking_uri(stack_environment["MLFLOW_TRACKING_URI"])
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("with-login"))
    client.log_text(run.info.run_id, MARK, "note.txt")
    loaded = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="note.txt", dst_path=tmp_path)
    assert Path(loaded).read_text() == MARK
    listed = subprocess.run(
        [sys.executable, "-m", "mlflow", "experiments", "search"], check=True, capture_output=True, text=True
    )
    assert "with-login" in listed.stdout


def test_a_login_that_gets_no_answer_is_no_refused_password(unused_endpoint):
    keys = Credentials("key", "secret-of-a-test", "password-of-a-test")
    port = int(unused_endpoint.rpartition(":")[2])
    with pytest.raises(servers.LoginProblem, match="does not answer"):
        servers.check_login(keys, {"mlflow": port})
