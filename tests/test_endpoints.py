"""The servers of this machine are reached without a proxy, in whichever case the variables are written."""

import os
import urllib.request

import pytest

from lesiongen.endpoints import is_server_address, mlflow_proxy_hint, s3_proxy_hint, tracking_address, without_proxy
from lesiongen.errors import UsageError
from lesiongen.mlflow_server import mlflow_client
from lesiongen.storage import open_storage


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_loopback_never_goes_through_a_proxy(monkeypatch, name):
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv(name, "intern.example, 10.0.0.1")
    assert not urllib.request.proxy_bypass("127.0.0.1")
    for variable, value in without_proxy("127.0.0.1", "localhost").items():
        monkeypatch.setenv(variable, value)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intern.example,10.0.0.1,127.0.0.1,localhost"
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert s3_proxy_hint("http://127.0.0.1:9000") is None
    assert "the proxy proxy.example:3128 (http_proxy)" in str(s3_proxy_hint("http://s3.example"))


def test_without_a_proxy_there_is_no_hint(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert s3_proxy_hint("http://s3.example") is None
    assert mlflow_proxy_hint("http://mlflow.example") is None


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("http://127.0.0.1:9000", True),
        ("https://me:word@mlflow.example/path", True),
        ("http://[::1]:9000", True),
        ("http://mlflow_server:5000", True),
        ("http://minio.svc.cluster.local.:9000", True),
        ("http://.", False),
        ("mlflow.example:5000", False),
        ("http://mlflow.example:0", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_the_address_of_a_server(address, answer):
    assert is_server_address(address) == answer


@pytest.fixture
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy_for_any_host_stays_so(monkeypatch, no_proxies, name):
    monkeypatch.setenv(name, "*")
    assert without_proxy("127.0.0.1") == {"no_proxy": "*", "NO_PROXY": "*"}


def test_a_proxy_is_shown_without_its_password(monkeypatch, no_proxies):
    for proxy in ("us:short@127.0.0.1:1", "http://us:short@127.0.0.1:1/", "http://us:sh@rt@127.0.0.1:1"):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        hint = str(s3_proxy_hint("http://s3.example"))
        assert "the proxy 127.0.0.1:1 (HTTP_PROXY): check it, or add s3.example to NO_PROXY" in hint
        assert "sh" not in hint


def test_each_library_reads_its_own_variables(monkeypatch, no_proxies):
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert s3_proxy_hint("http://10.1.2.3:9000") is None, "boto3 ignores it"
    assert "(ALL_PROXY)" in str(mlflow_proxy_hint("http://10.1.2.3:5000"))
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    assert mlflow_proxy_hint("http://10.1.2.3:5000") is None, "requests knows ranges"
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert "(http_proxy)" in str(s3_proxy_hint("http://10.1.2.3:9000")), "boto3 does not"


@pytest.mark.parametrize("address", ["databricks", "databricks://profile", "Databricks"])
def test_databricks_is_refused_by_name(monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UsageError, match="Databricks is not supported"):
        tracking_address()


def test_requests_to_the_embedded_servers_go_through_no_proxy(stack, stack_environment, monkeypatch, unused_endpoint):
    monkeypatch.setenv("http_proxy", unused_endpoint)
    monkeypatch.setenv("no_proxy", "intern.example")
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    open_storage("s3://lesiongen/no-proxy").write_text("a", "a")
    assert mlflow_client().search_experiments()
