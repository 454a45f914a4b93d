"""Checks of a Kubeflow Pipelines server, for ``lesiongen doctor``."""

import json
import re
from collections.abc import Callable
from functools import partial

from lesiongen.doctor import Checks, Outcome
from lesiongen.errors import LesionGenError
from pipelines.kubeflow.profile import load_profile, profiles_file
from pipelines.kubeflow.server import NotFound, Server, connect

__all__ = ["cluster_of", "kubeflow_checks"]

_OLDEST, _NEWEST = (2, 15), (2, 17)
_SUPPORTED = f"{'.'.join(map(str, _OLDEST))} to {'.'.join(map(str, _NEWEST))}"


def kubeflow_checks(profile: str | None) -> Checks:
    """Returns the checks of the server of a profile.

    Args:
        profile: Its name; None: ``default``, and all are skipped where there is no file of profiles.
    """
    if profile is None and not profiles_file().exists():
        message = f"no profile is chosen, and {profiles_file()} does not exist (docs/how-to/submit.md)"
        return {"kubeflow": lambda: Outcome("skipped", message)}
    checks: dict[str, Callable[[Server], Outcome]] = {"kubeflow": _version, "experiments": _experiments}
    return {name: partial(_connected, check, profile or "default") for name, check in checks.items()}


def cluster_of(profile: str | None) -> tuple[str | None, str | None]:
    """Returns the namespace of a profile's runs and the context of kubectl; None for what it does not name.

    Args:
        profile: Its name; None: ``default``. Where that cannot be read nothing is named, and `kubeflow_checks` says
            why.

    Raises:
        UsageError: The profile that is named cannot be read.
    """
    try:
        found = load_profile(profile or "default")
    except LesionGenError:
        if profile is not None:
            raise
        return None, None
    return found.namespace, found.kube_context


def _connected(check: Callable[[Server], Outcome], profile: str) -> Outcome:
    with connect(load_profile(profile)) as server:
        return check(server)


def _version(server: Server) -> Outcome:
    found = _tag(server)
    message = f"Kubeflow Pipelines {found or 'of an unknown version'} at {server.address}"
    numbers = re.match(r"v?(\d+)\.(\d+)", found)
    if numbers is None:
        return Outcome("warning", message, f"Ask its administrator for the version; {_SUPPORTED} are supported.")
    number = int(numbers[1]), int(numbers[2])
    if number < _OLDEST:
        return Outcome("failed", message, f"Have it upgraded: {_SUPPORTED} are supported.")
    if number > _NEWEST:
        return Outcome("warning", message, f"{_SUPPORTED} are supported; a newer LesionGen may know it.")
    return Outcome("ok", message)


def _tag(server: Server) -> str:
    """Returns the version that the server was built as; blank where it does not say."""
    try:  # the health of the newer API has no version
        answer = json.loads(server.text("/apis/v1beta1/healthz"))
    except (NotFound, ValueError):
        return ""
    tag = answer.get("tag_name") if isinstance(answer, dict) else None
    return "" if tag in (None, "unknown") else str(tag)


def _experiments(server: Server) -> Outcome:
    """Lists experiments, which needs the rights that a run needs to be read."""
    server.ask(server.experiments.experiment_service_list_experiments, page_size=1, **server.scope())
    where = f" of the namespace {server.namespace}" if server.namespace else ""
    return Outcome("ok", f"the experiments{where} can be listed")
