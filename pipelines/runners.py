"""The runner that executes every step in a container of the LesionGen image."""

import os
import threading
from pathlib import Path
from typing import Any

from kfp import local

from lesiongen.errors import ServiceError
from pipelines.runs import RunFolder

__all__ = ["IMAGE_USER", "container_runner", "stop_containers"]

IMAGE_USER = 1000
"""The user that the image runs as."""

LABEL = "lesiongen.pipeline-run"
_PASSED_ON = ("AWS_", "MLFLOW_", "LESIONGEN_", "OMP_", "NO_PROXY")


def container_runner(folder: RunFolder, source: str) -> Any:
    """Returns a runner for containers that reach this machine's servers and read the source, nothing else.

    Args:
        folder: The run's folder; the containers write their references there.
        source: The source of the data; a folder is mounted read-only.

    Raises:
        ServiceError: No Docker Engine answers.
    """
    docker, client = _client()
    client.close()
    mounts = []
    if "://" not in source:
        mounts.append(docker.types.Mount(source, source, type="bind", read_only=True))
    return local.DockerRunner(
        network_mode="host",
        user=_user(folder.artifacts),
        environment=_environment(),
        mounts=mounts,
        labels={LABEL: folder.id},
        shm_size="1g",
    )


def stop_containers(run_id: str) -> None:
    """Asks the containers of a run to stop; returns at once, and without effect where there are none."""

    def stop() -> None:
        try:
            _, client = _client()
        except ServiceError:
            return
        for container in client.containers.list(filters={"label": f"{LABEL}={run_id}"}):
            container.stop(timeout=60)

    threading.Thread(target=stop, daemon=True).start()


def _client() -> tuple[Any, Any]:
    hint = "Start Docker, or set DOCKER_HOST, or use --runner subprocess."
    try:
        import docker
    except ImportError as error:
        raise ServiceError("The package docker is not installed.", hint="pip install lesiongen[docker]") from error
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise ServiceError(f"No Docker Engine answers: {error}", hint=hint) from error
    return docker, client


def _user(artifacts: Path) -> str:
    # Never root: root hands the folder to the image's user, anyone else runs the containers as themselves.
    if os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    os.chown(artifacts, IMAGE_USER, IMAGE_USER)
    return f"{IMAGE_USER}:{IMAGE_USER}"


def _environment() -> dict[str, str]:
    # A certificate bundle of this machine has another place in the image.
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    passed.pop("AWS_CA_BUNDLE", None)
    return {**passed, "HOME": "/tmp"}  # noqa: S108 - writable for any user, and the container's own
