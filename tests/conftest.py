"""Fixtures that tests of several packages share."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lesiongen.stack import Stack
from lesiongen.storage import unique_prefix
from tests.fault_proxy import FaultProxy, fault_proxy

ROOT = Path(__file__).parent.parent
FOREIGN = ("AWS_", "MLFLOW_", "LESIONGEN_", "KFP_")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves helpers out: examples are looked for in the package alone, and the module of a job runs when imported."""
    name = collection_path.name
    helper = collection_path.suffix == ".py" and not name.startswith(("test_", "conftest", "__init__"))
    return True if helper else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that start the embedded servers: by the fixture, or as the whole pipeline does."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()) or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.server)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Keeps the caller's servers, keys and settings out of a test, and what a command of it has set out of the next."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(FOREIGN) and name != "LESIONGEN_SHARED_DATA":
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _no_log_that_is_closed() -> Iterator[None]:
    """Takes the log away that a command has set up on the screen of its test, which is closed by then."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and getattr(handler.stream, "closed", False):
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, beside the project or where LESIONGEN_SHARED_DATA points."""
    folder = Path(os.environ.get("LESIONGEN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there are no real images at {folder} (set LESIONGEN_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded S3 and MLflow servers, started once for all tests."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.up()
    yield stack
    stack.down(force=True)


@pytest.fixture
def stack_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to the embedded servers, set for one test."""
    environment = stack.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def s3_root(stack_environment: dict[str, str]) -> str:
    """A fresh prefix on the embedded S3 server."""
    return unique_prefix("s3://lesiongen/tests")


@pytest.fixture(scope="session")
def _proxy(stack: Stack) -> Iterator[FaultProxy]:
    with fault_proxy(stack.environment()["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture
def proxy(_proxy: FaultProxy, stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """A proxy in front of the embedded S3 server, to which the variables lead; it breaks what it is told to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", _proxy.endpoint)
    monkeypatch.setenv("LESIONGEN_S3_TIMEOUT", "1")
    _proxy.set(None)
    return _proxy


@pytest.fixture
def foreign_modules(tmp_path: Path) -> Path:
    """A folder as users have them: its files have the names of libraries' modules, and break whoever imports them."""
    folder = tmp_path / "Öl und Käse"
    for name in ("random", "copy", "kfp"):
        _breaking_module(folder / f"{name}.py")
    for name in ("datasets", "components", "pipelines"):
        _breaking_module(folder / name / "__init__.py")
    return folder


def _breaking_module(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"raise ImportError('the module of the working folder: {path.name}')\n")


@pytest.fixture
def unused_endpoint() -> str:
    """An address on loopback where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
