"""What a server's refusals and silences become: one sentence and what to do, never a traceback."""

import socket
import ssl
import subprocess

import pytest

from pipelines.kubeflow.profile import Profile
from pipelines.kubeflow.server import connect


@pytest.mark.parametrize(
    ("failing", "sentence", "remedy"),
    [
        (401, "rejected the credentials (401)", "Name a token_file or a cookie_file in the profile."),
        (403, "permission denied (403): told to fail", "role kubeflow-edit"),
        (404, "not found (404)", "ends with /pipeline"),
        (429, "is overloaded (429)", "Try again later"),
        (500, "is failing (500): told to fail", "Try again later"),
        (503, "is failing (503)", "Try again later"),
        (418, "rejected the request (418)", "Correct it"),
        ("hang", "did not answer within 0.5 s", "raise timeout in the profile"),
        ("drop", "The connection to http://127.0.0.1:", "Try again"),
        ("page", "answered with a web page", "a login page means that credentials are missing"),
        ("redirect", "answered with a web page", "a login page means that credentials are missing"),
    ],
)
def test_every_failure_is_one_sentence_and_a_remedy(server, write_profile, lesiongen, failing, sentence, remedy):
    write_profile(endpoint=server.address, timeout=0.5 if failing == "hang" else 20)
    server.failing = [failing]
    result = lesiongen("status", "latest")
    assert result.code == 1
    assert sentence in result.err
    assert remedy in result.err
    assert len(result.err.splitlines()) == 2
    assert len(server.requests) == 1


def test_no_server_and_an_unknown_host_are_said(write_profile, lesiongen):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write_profile(endpoint=f"http://127.0.0.1:{port}")
    result = lesiongen("schedules")
    assert (result.code, f"No server answers at http://127.0.0.1:{port}: Connection refused." in result.err) == (
        1,
        True,
    )
    write_profile(endpoint="http://kubeflow.invalid")
    result = lesiongen("schedules")
    assert (result.code, "The host of http://kubeflow.invalid is unknown." in result.err) == (1, True)


def test_requests_go_through_the_proxy_of_the_environment(server, write_profile, lesiongen, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "other.invalid")
    write_profile(endpoint="http://kubeflow.invalid")
    assert lesiongen("schedules").code == 0
    assert server.requests
    server.failing = ["drop"]
    assert "add kubeflow.invalid to NO_PROXY" in lesiongen("schedules").err


def test_a_wrong_path_of_the_endpoint_is_said(server, write_profile, lesiongen):
    server.behind_gateway = True
    write_profile(endpoint=server.address.removesuffix("/pipeline"))
    result = lesiongen("schedules")
    assert (result.code, "behind Kubeflow's gateway it ends with /pipeline" in result.err) == (1, True)


@pytest.mark.parametrize("known", [False, True])
def test_only_a_known_certificate_is_accepted(server, write_profile, lesiongen, tmp_path, known):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *name, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address = server.address.replace("http://", "https://")
    write_profile(endpoint=address, **({"ca_file": "certificate.pem"} if known else {}))
    result = lesiongen("schedules")
    if known:
        assert (result.code, result.err) == (0, "")
    else:
        assert result.code == 1
        assert f"The certificate of {address} cannot be verified" in result.err
        assert "ca_file" in result.err


def test_a_certificate_file_that_is_none_is_said(server, write_profile, lesiongen, tmp_path):
    write_profile(endpoint=server.address.replace("http://", "https://"), ca_file="absent.pem")
    result = lesiongen("schedules")
    assert (result.code, "absent.pem does not exist" in result.err) == (2, True)


def test_a_server_of_several_users_needs_a_namespace(server, profile, write_profile, lesiongen):
    server.multi_user = True
    result = lesiongen("schedules")
    assert (result.code, "the profile names no namespace" in result.err) == (2, True)
    write_profile(endpoint=server.address, namespace="others")
    result = lesiongen("schedules")
    assert result.code == 1
    assert "permission denied in the namespace others (403)" in result.err


@pytest.mark.parametrize(("field", "header"), [("token_file", "token"), ("cookie_file", "cookie")])
def test_credentials_come_from_a_file_that_is_private(server, write_profile, lesiongen, tmp_path, field, header):
    text = "session=abc-4711-xyz-secret"
    setattr(server, header, text)
    path = tmp_path / "credentials"
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)
    write_profile(endpoint=server.address, **{field: "credentials"})
    assert (lesiongen("schedules").code, lesiongen("schedules").err) == (0, "")
    path.chmod(0o644)
    result = lesiongen("schedules")
    assert result.code == 0
    assert f"{path} can be read by others: chmod 600" in result.err
    setattr(server, header, "another")
    result = lesiongen("schedules")
    assert result.code == 1
    assert f"Write a valid token or cookie to {path}." in result.err
    assert "4711" not in result.err


@pytest.mark.parametrize(("field", "header"), [("token_file", "token"), ("cookie_file", "cookie")])
def test_credentials_that_change_are_read_again(server, tmp_path, field, header):
    path = tmp_path / "credentials"
    setattr(server, header, "the-first-of-them")
    path.write_text("the-first-of-them", encoding="utf-8")
    with connect(Profile(endpoint=server.address, **{field: path})) as connection:
        setattr(server, header, "the-second-of-them")
        path.write_text("the-second-of-them", encoding="utf-8")
        assert connection.experiment_id() is None


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        (None, "The file of the profiles does not exist"),
        ("[]", "is not a mapping of names to profiles"),
        ("{other: {endpoint: 'https://x.example'}}", "Unknown profile 'test'"),
        ("{test: 3}", "is not a mapping of fields"),
        ("{test: {}}", "give either endpoint or port_forward: true"),
        ("{test: {endpoint: 'https://x.example', port_forward: true}}", "give either endpoint or port_forward: true"),
        ("{test: {endpoint: kubeflow.example}}", "must be http(s)://host"),
        ("{test: {endpoint: 'https://user:pw@x.example'}}", "must be http(s)://host"),
        ("{test: {endpoint: 'https://x.example', token: abc-def-ghi-4711}}", "holds a secret itself (token)"),
        ("{test: {endpoint: 'https://x.example', names: x}}", "unknown field names"),
        ("{test: {endpoint: 'http://x.example', token_file: t}}", "endpoint must begin with https://"),
        ("{test: {endpoint: 'https://x.example', token_file: t, cookie_file: c}}", "either token_file or cookie_file"),
        ("{test: {endpoint: 'https://x.example', token_file: absent}}", "absent cannot be read: No such file"),
        ("{test: {endpoint: 'https://x.example', token_file: profiles.yaml}}", "holds several lines"),
        ("{test: {endpoint: 'https://x.example', pipeline_root: 'minio://x'}}", "must be an s3:// address"),
    ],
)
def test_a_wrong_profile_is_refused(lesiongen, tmp_path, monkeypatch, profiles, message):
    path = tmp_path / "profiles.yaml"
    if profiles is not None:
        path.write_text(f"# profiles\n{profiles}\n", encoding="utf-8")
    monkeypatch.setenv("LESIONGEN_PROFILES", str(path))
    result = lesiongen("schedules")
    assert result.code == 2
    assert message in result.err
    assert "4711" not in result.err


def test_a_port_forward_lasts_as_long_as_the_command(server, write_profile, lesiongen, tmp_path, monkeypatch):
    bin, said = tmp_path / "bin", tmp_path / "said"
    bin.mkdir()
    kubectl = bin / "kubectl"
    kubectl.write_text(
        f"#!/bin/sh\necho $$ \"$@\" > {said}\necho 'Forwarding from 127.0.0.1:{server.server_port} -> 8888'\n"
        "exec sleep 60\n",
        encoding="utf-8",
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin), prepend=":")
    write_profile(port_forward=True, kube_context="prod")
    assert lesiongen("schedules").code == 0
    process, _, words = said.read_text(encoding="utf-8").strip().partition(" ")
    assert words == "--context prod port-forward --namespace kubeflow service/ml-pipeline :8888"
    assert subprocess.run(["kill", "-0", process], capture_output=True, check=False).returncode != 0


def test_a_port_forward_that_fails_is_said(write_profile, lesiongen, tmp_path, monkeypatch):
    bin = tmp_path / "bin"
    bin.mkdir()
    kubectl = bin / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'error: services \"ml-pipeline\" not found' >&2\nexit 1\n", encoding="utf-8")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(bin), prepend=":")
    write_profile(port_forward=True)
    result = lesiongen("schedules")
    assert result.code == 1
    assert 'kubectl port-forward failed: error: services "ml-pipeline" not found' in result.err
    kubectl.unlink()
    monkeypatch.setenv("PATH", str(bin))
    assert "kubectl is not installed" in lesiongen("schedules").err


def test_the_file_of_the_profiles_is_yaml_that_can_be_read(write_profile, lesiongen):
    path = write_profile(endpoint="https://x.example")
    path.write_text("test: [", encoding="utf-8")
    result = lesiongen("schedules")
    assert (result.code, "is not YAML" in result.err) == (2, True)
