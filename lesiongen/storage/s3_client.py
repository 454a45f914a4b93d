"""The S3 client for the settings of the environment, which are checked before anything is sent."""

import functools
import math
import os
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

from lesiongen.endpoints import is_server_address
from lesiongen.errors import UsageError
from lesiongen.redaction import register_secret

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["CHECKSUMS", "endpoint_of", "endpoint_variable", "key_variables", "s3_client"]

CHECKSUMS = "AWS_REQUEST_CHECKSUM_CALCULATION"
# The first that is set is taken. The names of our own are for pods, where the variables of AWS belong to Kubeflow's
# launcher too: it would take them for its own artifact store.
_ENDPOINTS = ("LESIONGEN_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("LESIONGEN_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")
_KEYS = ("LESIONGEN_S3_ACCESS_KEY_ID", "LESIONGEN_S3_SECRET_ACCESS_KEY")
_TOKEN = "LESIONGEN_S3_SESSION_TOKEN"  # noqa: S105 - the name of a variable
# What a client depends on: a change of any of them asks for another one.
_VARIABLES = (
    *_ENDPOINTS, *_REGIONS, *_KEYS, _TOKEN, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", CHECKSUMS,
    "AWS_RESPONSE_CHECKSUM_VALIDATION", "LESIONGEN_S3_TIMEOUT", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY",
    "https_proxy", "NO_PROXY", "no_proxy", "AWS_REQUEST_PAYER",
)  # fmt: skip
PAYER = "AWS_REQUEST_PAYER"
"""Says ``requester`` where the owner of a bucket lets those who read it pay; GDAL and other programs read it too."""
READ_TIMEOUT = 60.0
"""Seconds that a server may be silent for while it answers, unless LESIONGEN_S3_TIMEOUT says otherwise."""
_REGION = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_client_lock = threading.Lock()


def s3_client() -> "S3Client":
    """Returns the client for the current environment; one is kept for each endpoint, key, token and profile.

    Raises:
        UsageError: A variable cannot be used; the message names it.
    """
    with _client_lock:
        return _client_for(tuple((name, os.environ.get(name)) for name in _VARIABLES))


def endpoint_of() -> str | None:
    """Returns the address of the S3 server that the environment names; None for AWS itself."""
    return next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)


def endpoint_variable() -> str:
    """Returns the variable to look at where the server is not reached: the one that names it, if one does."""
    return next((name for name in _ENDPOINTS if os.environ.get(name)), "AWS_ENDPOINT_URL")


def key_variables() -> tuple[str, str]:
    """Returns the variables to look at where a key is refused: our own where they are set or name the server."""
    ours = endpoint_variable() == _ENDPOINTS[0] or any(os.environ.get(name) for name in _KEYS)
    return _KEYS if ours else ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@functools.lru_cache(maxsize=8)
def _client_for(variables: tuple[tuple[str, str | None], ...]) -> "S3Client":
    values = dict(variables)
    address = _endpoint(values)
    config = Config(
        s3=cast(Any, {"addressing_style": "path"} if address else {}),
        retries={"max_attempts": 4, "mode": "standard"},
        connect_timeout=5,
        read_timeout=_timeout(values.get("LESIONGEN_S3_TIMEOUT")),
        max_pool_connections=32,
    )
    # A session of its own, as boto3's default session keeps the keys that it first saw. It looks for keys, tokens
    # and profiles where every AWS program does.
    key, secret, token = _own_keys(values)
    session = boto3.session.Session(key, secret, token)
    if credentials := session.get_credentials():  # of a profile or a role too, which no variable holds
        known = credentials.get_frozen_credentials()
        register_secret(known.secret_key)
        register_secret(known.token)
    region = _region(values, session.region_name)
    try:
        client = session.client("s3", endpoint_url=address, region_name=region, config=config)
    except ValueError as error:
        name = next((name for name in _ENDPOINTS if values.get(name)), "The endpoint of the AWS profile")
        hint = "Host names with _ are not supported: use another name of the server, or its IP address."
        raise UsageError(f"{name} is not the address of an S3 server: {error}", hint=hint) from error
    if _pays(values.get(PAYER)):
        client.meta.events.register("provide-client-params.s3", _add_payer)
    return client


def _own_keys(values: Mapping[str, str | None]) -> tuple[str | None, str | None, str | None]:
    """Returns key, secret and token of the variables of our own; None where they are not set."""
    key, secret = (values.get(name) or None for name in _KEYS)
    if key is None and secret is None:
        return None, None, None
    if key is None or secret is None:
        there, absent = _KEYS if secret is None else _KEYS[::-1]
        raise UsageError(f"{there} is set, and {absent} is not", hint="Set both, or neither.")
    return key, secret, values.get(_TOKEN) or None


def _endpoint(values: Mapping[str, str | None]) -> str | None:
    name = next((name for name in _ENDPOINTS if values.get(name)), None)
    if name is None:
        return None
    address = str(values[name])
    host = re.split("[/?#]", address.partition("//")[2] or address)[0]
    if "@" in host or ("@" in address and not is_server_address(address)):  # a password may hold a slash
        raise UsageError(
            f"{name}: S3 addresses hold no user or password",
            hint="Put the keys in {} and {}.".format(*key_variables()),
        )
    if not is_server_address(address) or "?" in address:
        hint = "Write https://host:port or http://host:port, for example https://minio.example:9000."
        raise UsageError(f"{name} = {address!r} is not the address of a server", hint=hint)
    return address


def _region(values: Mapping[str, str | None], of_profile: str | None) -> str:
    name = next((name for name in _REGIONS if values.get(name)), None)
    region = str(values[name]) if name else of_profile or "us-east-1"
    if not _REGION.fullmatch(region):
        where = name or "The region of the AWS profile"
        hint = "Write the code of the region, for example eu-central-1; for a server of your own, us-east-1."
        raise UsageError(f"{where} = {region!r} is not the code of a region", hint=hint)
    return region


def _timeout(text: str | None) -> float:
    try:
        seconds = float(text or READ_TIMEOUT)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"LESIONGEN_S3_TIMEOUT = {text!r} is not a number of seconds", hint="Write for example 60.")
    return seconds


def _pays(value: str | None) -> bool:
    if value not in (None, "", "requester"):
        raise UsageError(f"{PAYER} = {value!r} is not known", hint="Write requester, or unset it.")
    return value == "requester"


def _add_payer(params: dict[str, Any], model: Any, **_: Any) -> None:
    if "RequestPayer" in model.input_shape.members:
        params.setdefault("RequestPayer", "requester")
