"""``kubectl port-forward`` to the API server, for clusters whose gateway is not reached from here."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from lesiongen.errors import ServiceError, UsageError
from pipelines.kubeflow.profile import Profile

__all__ = ["forwarded"]

_SERVICE, _PORT = "service/ml-pipeline", 8888
_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")
_START_SECONDS, _STOP_SECONDS = 30, 5


@contextmanager
def forwarded(profile: Profile) -> Iterator[str]:
    """Yields the address of the server; a port-forward that leads there lasts as long as the block.

    Raises:
        UsageError: kubectl is not installed.
        ServiceError: The port-forward does not come up.
    """
    if profile.endpoint:
        yield profile.endpoint
        return
    with _started(profile) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        reader: threading.Thread | None = None
        try:
            port = _port(process, process.stdout)
            # kubectl writes a line for every connection, and would stop at a full pipe.
            reader = threading.Thread(target=process.stdout.read, daemon=True)
            reader.start()
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)
            if reader:
                reader.join()


def _started(profile: Profile) -> "subprocess.Popen[str]":
    context = ["--context", profile.kube_context] if profile.kube_context else []
    command = ["kubectl", *context, "port-forward", "--namespace", profile.kubeflow_namespace, _SERVICE, f":{_PORT}"]
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise UsageError(
            "The profile asks for a port-forward, and kubectl is not installed.",
            hint="Install kubectl, or name an endpoint in the profile.",
        ) from None


def _port(process: "subprocess.Popen[str]", lines: IO[str]) -> str:
    """Waits for the line in which kubectl names the local port, and returns the port."""
    late = threading.Timer(_START_SECONDS, process.kill)
    late.start()
    said = ""
    try:
        for line in lines:
            if found := _READY.match(line):
                return found[1]
            said += f" {line.strip()}"
    finally:
        late.cancel()
    reason = said.strip()[:300] or f"no connection after {_START_SECONDS} s"
    raise ServiceError(
        f"kubectl port-forward failed: {reason}", hint="Check kubectl's context and kubeflow_namespace in the profile."
    )


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
