"""What goes wrong with S3, in words that name the bucket, the server, the variable or the proxy at fault."""

from collections.abc import Callable
from http import HTTPStatus

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from lesiongen.endpoints import s3_proxy_hint
from lesiongen.errors import StorageError, Unreachable
from lesiongen.storage.s3_client import CHECKSUMS, endpoint_of, endpoint_variable, key_variables

__all__ = ["MISSING", "explained", "is_outage"]

MISSING = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
_GATEWAY = {502, 503, 504}
"""Answers of a proxy that does not reach the server."""
_AWS = "https://s3.amazonaws.com"


def explained(error: Exception, storage: str, key: str, bucket_exists: Callable[[], bool]) -> StorageError:
    """Returns the error to show for what boto3 raises.

    Args:
        error: What it raised.
        storage: Address of the storage.
        key: The object that was asked for; empty for none.
        bucket_exists: Asks the server whether there is the bucket.
    """
    uri = f"{storage}/{key}" if key else storage
    if isinstance(error, ClientError):
        return _answered(error, uri, bucket_exists)
    if isinstance(error, HTTPClientError | ConnectionError | ResponseParserError):
        return _unreachable(error, uri)
    if isinstance(error, NoCredentialsError):
        hint = f"Set {' and '.join(key_variables())}, or start the local servers: lesiongen up."
        return StorageError(f"{uri}: no S3 credentials are set", hint=hint)
    what = "credentials" if isinstance(error, ProfileNotFound | PartialCredentialsError) else "settings"
    hint = "Check AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the other AWS_… variables."
    return StorageError(f"{uri}: the S3 {what} cannot be used ({error})", hint=hint)


def _unreachable(error: Exception, uri: str) -> StorageError:
    hint = _proxy() or f"Check {endpoint_variable()} and that the server runs (lesiongen status)."
    if isinstance(error, SSLError):
        own = "AWS_CA_BUNDLE names a file with the certificate of your own authority."
        hint = f"Check https in {endpoint_variable()}; {own}"
    return Unreachable(f"{uri}: the S3 server at {_server()} {_failure(error)} ({error})", hint=hint)


def _failure(error: Exception) -> str:
    if isinstance(error, ReadTimeoutError):
        return "did not answer in time"
    if isinstance(error, ConnectionClosedError):
        return "broke off the connection"
    if isinstance(error, ResponseParserError):
        return "gave an answer that cannot be understood"
    return "cannot be reached"


def _answered(error: ClientError, uri: str, bucket_exists: Callable[[], bool]) -> StorageError:
    status = _status(error)
    code = error.response.get("Error", {}).get("Code") or str(status)  # a page of a proxy holds none
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Unreachable(f"{uri}: the proxy before the S3 server at {_server()} asks for a password", hint=_proxy())
    if code == "NoSuchBucket" or (code in MISSING and not bucket_exists()):
        bucket = uri.removeprefix("s3://").partition("/")[0]
        hint = _with_proxy("Create it, or check the name in the address.")
        return StorageError(f"The bucket {bucket!r} does not exist at {_server()}", hint=hint)
    if code in MISSING:
        return StorageError(f"{uri} does not exist", hint="Check the path, and that it has been written.")
    if code in _REFUSED:
        hint = _with_proxy(f"Check {', '.join(key_variables())} and what they may do in this bucket.")
        return StorageError(f"{uri}: the S3 server at {_server()} refused the access key ({code})", hint=hint)
    advice = _proxy() if status in _GATEWAY else None
    if "trailer" in str(error).lower():
        advice = f"The server does not support checksums after the data. Set {CHECKSUMS}=when_required."
    kind = Unreachable if is_outage(error) else StorageError
    return kind(f"{uri}: the S3 server at {_server()} answered {code}: {error}", hint=advice)


def is_outage(error: ClientError) -> bool:
    """Tells whether a server may answer otherwise a little later."""
    status = _status(error)
    return (status >= 500 and status != 501) or error.response.get("Error", {}).get("Code") == "SlowDown"


def _proxy() -> str | None:
    return s3_proxy_hint(endpoint_of() or _AWS)


def _with_proxy(advice: str) -> str:
    """Adds the proxy to check, where there is one: its own answers look like the server's."""
    return " ".join(filter(None, (advice, _proxy())))


def _server() -> str:
    return endpoint_of() or "AWS"


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
