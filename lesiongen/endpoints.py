"""Addresses of HTTP servers, and the proxies that the environment puts before them."""

import os
import re
import urllib.request
from urllib.parse import urlsplit

from lesiongen.errors import UsageError
from lesiongen.redaction import redact

__all__ = ["is_server_address", "proxy_hint", "tracking_address", "without_proxy"]

_NAMES = ("no_proxy", "NO_PROXY")
"""Programs read one or the other; most of them look at the one in lower case first."""


_DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mssql")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")


def is_server_address(address: str) -> bool:
    """Tells whether an address is that of an HTTP server: a scheme, a host, and at most a port and a path."""
    try:
        parts = urlsplit(address)
        port = parts.port  # raises where it is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and bool(_HOST.fullmatch(parts.hostname or ""))


def tracking_address() -> str:
    """Returns the address of the MLflow server that the environment names; asks it nothing.

    Raises:
        UsageError: ``MLFLOW_TRACKING_URI`` is not set, or is not the address of a server.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        raise UsageError(
            "No MLflow server is named.",
            hint="Start the local servers (lesiongen up), or set MLFLOW_TRACKING_URI.",
        )
    if is_server_address(address):
        return address
    kind = address.partition("://")[0]
    what = "a database" if kind.partition("+")[0] in _DATABASES else "not the address of a server"
    raise UsageError(
        f"MLFLOW_TRACKING_URI = {redact(address)!r} is {what}",
        hint="Write https://host:port or http://host:port, for example http://127.0.0.1:5000. "
        "Folders and databases need a server in front: mlflow server, or lesiongen up.",
    )


def without_proxy(*hosts: str) -> dict[str, str]:
    """Returns the variables by which requests to these hosts, and to those named before, go through no proxy."""
    before = [host.strip() for name in _NAMES for host in os.environ.get(name, "").split(",")]
    value = ",".join(dict.fromkeys([*filter(None, before), *hosts]))
    return dict.fromkeys(_NAMES, value)


def proxy_hint(address: str) -> str | None:
    """Returns what to check where a server does not answer through a proxy; None where there is no proxy.

    Args:
        address: The server's, with its scheme.
    """
    parts = urlsplit(address)
    name = _proxy_variable(parts.scheme)
    if name is None or not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return (
        f"The requests go through the proxy {name} = {os.environ[name]}: check it, or add {parts.hostname} to NO_PROXY."
    )


def _proxy_variable(scheme: str) -> str | None:
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), None)
