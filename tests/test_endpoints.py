"""The servers of this machine are reached without a proxy, in whichever case the variables are written."""

import os
import urllib.request

import pytest

from lesiongen.endpoints import is_server_address, proxy_hint, without_proxy
from lesiongen.storage import open_storage
from lesiongen.tracking import mlflow_client


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
    assert proxy_hint("http://127.0.0.1:9000") is None
    assert "http_proxy = http://proxy.example:3128" in str(proxy_hint("http://s3.example"))


def test_without_a_proxy_there_is_no_hint(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_hint("http://s3.example") is None


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("http://127.0.0.1:9000", True),
        ("https://me:word@mlflow.example/path", True),
        ("http://[::1]:9000", True),
        ("http://mlflow_server:5000", True),
        ("mlflow.example:5000", False),
        ("http://mlflow.example:0", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_the_address_of_a_server(address, answer):
    assert is_server_address(address) == answer


def test_requests_to_the_embedded_servers_go_through_no_proxy(stack, stack_environment, monkeypatch, unused_endpoint):
    monkeypatch.setenv("http_proxy", unused_endpoint)
    monkeypatch.setenv("no_proxy", "intern.example")
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    open_storage("s3://lesiongen/no-proxy").write_text("a", "a")
    assert mlflow_client().search_experiments()
