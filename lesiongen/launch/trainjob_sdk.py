"""The package ``kubeflow``, which comes with an extra and is imported only where a cluster is used."""

from importlib.util import find_spec

from lesiongen.errors import UsageError

__all__ = ["require_sdk", "sdk_is_installed"]


def require_sdk() -> None:
    """Refuses to go on without the package.

    Raises:
        UsageError: It is not installed.
    """
    if not sdk_is_installed():
        hint = "Install it from a checkout of LesionGen: pip install '.[cluster]'"
        raise UsageError("TrainJobs need the package kubeflow, which is not installed", hint=hint)


def sdk_is_installed() -> bool:
    """Tells whether the package is installed; other packages bring a folder ``kubeflow`` too."""
    try:
        return find_spec("kubeflow.trainer") is not None
    except ModuleNotFoundError:
        return False
