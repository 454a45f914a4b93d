"""The runner that executes every step in a container of the LesionGen image."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfp import local

from lesiongen.errors import ServiceError, UsageError
from pipelines.runs import RunFolder
from pipelines.settings import IMAGE_USER
from pipelines.stopping import EXECUTOR, EXIT_HANDLER

__all__ = ["container_runner", "signal_containers"]

# The container's own first process is a shell, which neither passes a signal on nor ends by one.
_TERMINATE = (
    "for process in /proc/[0-9]*; do"
    f" if tr '\\0' '\\n' < $process/cmdline | grep -qx {EXECUTOR}; then kill -TERM ${{process#/proc/}}; fi;"
    " done"
)
LABEL = "lesiongen.pipeline-run"
_PASSED_ON = ("AWS_", "MLFLOW_", "LESIONGEN_", "OMP_", "NO_PROXY", "no_proxy")


def container_runner(folder: RunFolder, sources: Sequence[str]) -> Any:
    """Returns a runner for containers that reach this machine's servers and read the sources, nothing else.

    Their root file system is read-only, and they have no capability of root's.

    Args:
        folder: The run's folder; the containers write their references there.
        sources: The sources of the data; a folder is mounted read-only.

    Raises:
        ServiceError: No Docker Engine answers.
        UsageError: The image's user may not read the source.
    """
    docker, client = _client()
    client.close()
    # A volume without a name goes with its container; a tmpfs would hold a whole collection in memory.
    mounts = [docker.types.Mount("/tmp", None, type="volume")]  # noqa: S108 - the container's own
    for source in dict.fromkeys(sources):
        if "://" not in source:
            _check_readable(Path(source))
            mounts.append(docker.types.Mount(source, source, type="bind", read_only=True))
    return local.DockerRunner(
        network_mode="host",
        user=_user(folder.artifacts),
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        environment=_environment(),
        mounts=mounts,
        labels={LABEL: folder.id},
        shm_size="1g",
    )


def signal_containers(run_id: str, number: signal.Signals, asked: set[str]) -> None:
    """Sends SIGTERM or SIGKILL to the containers of a run's steps, but not to that of the exit handler."""
    _, client = _client()
    for container in client.containers.list(filters={"label": f"{LABEL}={run_id}"}):
        if container.id not in asked and EXIT_HANDLER not in container.attrs["Config"]["Cmd"]:
            asked.add(container.id)
            if number == signal.SIGKILL:
                container.kill()
            else:
                container.exec_run(["sh", "-c", _TERMINATE])
    client.close()


def _client() -> tuple[Any, Any]:
    hint = "Start Docker, or set DOCKER_HOST, or use --runner subprocess."
    try:
        import docker
    except ImportError as error:
        hint = "Install it from a checkout of LesionGen: pip install '.[docker]'"
        raise ServiceError("The package docker is not installed.", hint=hint) from error
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise ServiceError(f"No Docker Engine answers: {error}", hint=hint) from error
    return docker, client


def _check_readable(source: Path) -> None:
    """Refuses a source that is closed to the image's user, which is another one where this one is root."""
    found = source.stat()
    if os.getuid() == 0 and found.st_uid != IMAGE_USER and found.st_mode & 0o005 != 0o005:
        raise UsageError(
            f"{source} may not be read by the containers, which run as user {IMAGE_USER}",
            hint=f"Run as another user than root, or: chown -R {IMAGE_USER} {source}",
        )


def _user(artifacts: Path) -> str:
    # Never root: root hands the folder to the image's user, anyone else runs the containers as themselves.
    if os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    os.chown(artifacts, IMAGE_USER, 0)
    return f"{IMAGE_USER}:0"


def _environment() -> dict[str, str]:
    # A certificate bundle of this machine has another place in the image.
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    passed.pop("AWS_CA_BUNDLE", None)
    return {**passed, "HOME": "/tmp"}  # noqa: S108 - writable for any user, and the container's own
