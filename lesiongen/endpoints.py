"""Addresses of HTTP servers, and the proxies that the environment puts before them."""

import os
import re
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

from lesiongen.errors import UsageError
from lesiongen.redaction import redact

__all__ = [
    "is_server_address",
    "mlflow_proxy_hint",
    "s3_proxy_hint",
    "tracking_address",
    "tracking_variable",
    "without_proxy",
]

_TRACKING = ("MLFLOW_TRACKING_URI", "LESIONGEN_MLFLOW_URI")
"""The first that is set is taken. The second is for pods: Kubeflow's MLflow plugin sets the first, and a variable that
is set twice makes a pod invalid."""

_NAMES = ("no_proxy", "NO_PROXY")
"""Programs read one or the other; most of them look at the one in lower case first."""


_DATABRICKS = ("databricks", "databricks-uc")
_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:][0-9A-Fa-f:.]*")


def is_server_address(address: str) -> bool:
    """Tells whether an address is that of an HTTP server: a scheme, a host, and at most a port and a path.

    >>> is_server_address("http://localhost:9000"), is_server_address("minio.example:9000")
    (True, False)
    """
    try:
        parts = urlsplit(address)
        port = parts.port  # raises where it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and bool(_HOST.fullmatch(parts.hostname or ""))


def tracking_variable() -> str | None:
    """Returns the name of the variable that names the MLflow server; None where nothing is tracked."""
    return next((name for name in _TRACKING if os.environ.get(name)), None)


def tracking_address() -> str:
    """Returns the address of the MLflow server that the environment names; asks it nothing.

    Raises:
        UsageError: No variable names one, or it is not the address of a server.
    """
    variable = tracking_variable()
    if variable is None:
        raise UsageError(
            "No MLflow server is named.",
            hint="Start the local servers (lesiongen up), or set MLFLOW_TRACKING_URI.",
        )
    address = os.environ[variable]
    if is_server_address(address):
        return address
    kind = re.split("[+:]", address)[0].lower()
    if kind in _DATABRICKS:
        raise UsageError(
            f"{variable} = {redact(address)!r}: Databricks is not supported",
            hint="Set the address of an MLflow server, or start the local one: lesiongen up.",
        )
    what = "a database" if kind in _DATABASES else "not the address of a server"
    raise UsageError(
        f"{variable} = {redact(address)!r} is {what}",
        hint="Write https://host:port or http://host:port, for example http://127.0.0.1:5000. "
        "Folders and databases need a server in front: mlflow server, or lesiongen up.",
    )


def without_proxy(*hosts: str) -> dict[str, str]:
    """Returns the variables by which requests to these hosts, and to those named before, go through no proxy."""
    before = [host.strip() for name in _NAMES for host in os.environ.get(name, "").split(",")]
    named = dict.fromkeys([*filter(None, before), *hosts])
    # Programs take * for every host only where it is the whole value.
    return dict.fromkeys(_NAMES, "*" if "*" in named else ",".join(named))


def s3_proxy_hint(address: str) -> str | None:
    """Returns the hint for an S3 server that does not answer through a proxy; None without a proxy.

    Args:
        address: The server's, with its scheme.
    """
    parts = urlsplit(address)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return _proxy_hint(parts.hostname, _of_scheme(parts.scheme))


def mlflow_proxy_hint(address: str) -> str | None:
    """Returns what `s3_proxy_hint` does, of an MLflow server, which is asked by requests and not by boto3."""
    from requests.utils import should_bypass_proxies  # type: ignore[import-untyped]

    parts = urlsplit(address)
    if not parts.hostname or should_bypass_proxies(address, no_proxy=None):
        return None
    return _proxy_hint(parts.hostname, (*_of_scheme(parts.scheme), "all_proxy", "ALL_PROXY"))


def _of_scheme(scheme: str) -> tuple[str, str]:
    return f"{scheme}_proxy", f"{scheme}_proxy".upper()


def _proxy_hint(host: str, names: Iterable[str]) -> str | None:
    name = next((name for name in names if os.environ.get(name)), None)
    if name is None:
        return None
    # Users and passwords are left out; a proxy may be named without a scheme.
    proxy = os.environ[name].rpartition("@")[2].rpartition("//")[2].partition("/")[0]
    return f"The requests go through the proxy {proxy} ({name}): check it, or add {host} to NO_PROXY."
