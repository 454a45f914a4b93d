"""How a Kubernetes cluster is reached: by a kubeconfig, or with the service account of this pod; without the SDK."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lesiongen.errors import UsageError

__all__ = ["Connection", "connection", "server_message"]

_KUBECONFIG = "~/.kube/config"
_CORRECT = (
    "Look at it with: kubectl config get-contexts. Correct the file, choose a context with kubectl config use-context, "
    "or set KUBECONFIG to another file."
)
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""What Kubernetes mounts into a pod that has a service account."""


@dataclass(frozen=True)
class Connection:
    """What is needed to talk to a cluster.

    Attributes:
        settings: The ``kubernetes.client.Configuration``.
        namespace: That of the context, or of this pod.
    """

    settings: Any
    namespace: str


def connection(context: str | None = None) -> Connection | None:
    """Returns how the cluster is reached; None where there is neither a kubeconfig nor the service account of a pod.

    ``KUBECONFIG`` goes first, then a pod's service account, then ``~/.kube/config``, as in the SDK of Kubeflow. Where
    a context is given, ``~/.kube/config`` goes before the pod: only a kubeconfig has contexts.

    Args:
        context: Context of kubectl; None: the current one.

    Raises:
        UsageError: The kubeconfig is missing or cannot be loaded, or the pod's credentials are incomplete.
    """
    # kubernetes reads the variable when it is imported, which may have been before it was set.
    given, pod = os.environ.get("KUBECONFIG"), _POD.is_dir()
    if given:
        return _of_kubeconfig(given, "KUBECONFIG", context)
    if Path(_KUBECONFIG).expanduser().exists() and (context or not pod):
        return _of_kubeconfig(_KUBECONFIG, _KUBECONFIG, context)
    return _of_pod() if pod else None


def _of_kubeconfig(paths: str, name: str, context: str | None) -> Connection:
    try:
        found = _loaded(paths, context)
    except Exception as error:  # a document of another shape raises what its first wrong value happens to raise
        message = f"The kubeconfig {_named(paths, name)} cannot be loaded: {_reason(error)}"
        raise UsageError(message, hint=_CORRECT) from None  # the error's own text may quote the file
    if found is None:
        hint = "Set KUBECONFIG to the kubeconfig of the cluster, or unset it."
        raise UsageError(f"No cluster is configured: the file {_named(paths, name)} does not exist", hint=hint)
    return found


def _loaded(paths: str, context: str | None) -> Connection | None:
    """Returns the connection of one or more kubeconfigs, as KUBECONFIG names them; None if none of them exists."""
    from kubernetes import client
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

    settings, merged = client.Configuration(), KubeConfigMerger(paths)
    if merged.config is None:
        return None
    loader = KubeConfigLoader(merged.config, context, config_base_path=None, config_persister=merged.save_changes)
    loader.load_and_set(settings)
    return Connection(settings, loader.current_context["context"].get("namespace") or "default")


def _named(paths: str, name: str) -> str:
    return paths if paths == name else f"{paths} ({name})"


def _reason(error: Exception) -> str:
    """Returns why a kubeconfig cannot be loaded, without quoting it: it may hold a token."""
    import yaml
    from kubernetes.config import ConfigException

    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        return f"it is not YAML{f' (line {mark.line + 1})' if mark else ''}"
    if isinstance(error, OSError):
        return f"{error.filename or ''} {error.strerror or error}".strip()
    if isinstance(error, ConfigException):
        return str(error).partition("{")[0].rstrip(" /")  # it quotes a whole user, {...}, where a key is missing
    return f"a field is missing or has another type ({type(error).__name__})"


def _of_pod() -> Connection:
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
        return Connection(settings, (_POD / "namespace").read_text(encoding="utf-8").strip())
    except (config.ConfigException, OSError) as error:
        hint = "Set KUBECONFIG, or run this in a pod with a service account."
        raise UsageError(f"The service account of this pod cannot be used: {error}", hint=hint) from error


def server_message(error: BaseException | None) -> str:
    """Returns what the server says in its answer; its status and reason where it says nothing."""
    body = getattr(error, "body", None)
    try:
        return str(json.loads(body or "")["message"])
    except (ValueError, TypeError, KeyError):
        return f"{getattr(error, 'status', '')} {getattr(error, 'reason', error)}".strip()
