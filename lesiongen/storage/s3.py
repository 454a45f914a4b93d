"""The S3 side of the storage: boto3, with errors that say which bucket, key or endpoint is at fault."""

import functools
import io
import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from lesiongen.errors import StorageError, Unreachable, UsageError
from lesiongen.redaction import register_secret
from lesiongen.storage.claim_objects import claiming_by_object
from lesiongen.storage.creation import Target
from lesiongen.storage.interface import Claim, Creation, Storage, StoredObject
from lesiongen.storage.local import LocalStorage, readable
from lesiongen.storage.parts import copy_parts, differs, download, etag_of, part_bytes, upload
from lesiongen.storage.s3_object import S3Object, resending

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["RangeReader", "S3Storage", "s3_client"]

_MISSING = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"}
# What boto3 reads from the environment: a change of any of them asks for another client.
_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "LESIONGEN_S3_TIMEOUT",
)  # fmt: skip
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
READ_TIMEOUT = 60.0
"""Seconds that a server may be silent for while it answers, unless LESIONGEN_S3_TIMEOUT says otherwise."""
_client_lock = threading.Lock()


def s3_client() -> "S3Client":
    """Returns the client for the current environment; one is kept for each endpoint, key, token and profile."""
    with _client_lock:
        return _client_for(tuple((name, os.environ.get(name)) for name in _VARIABLES))


@functools.lru_cache(maxsize=8)
def _client_for(variables: tuple[tuple[str, str | None], ...]) -> "S3Client":
    values = dict(variables)
    address = values.get("AWS_ENDPOINT_URL_S3") or values.get("AWS_ENDPOINT_URL") or None
    if address and "@" in address.partition("://")[2]:
        raise UsageError(
            "AWS_ENDPOINT_URL holds a user or a password, which S3 does not know",
            hint="Write http://host:port; the keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    style = {"addressing_style": "path"} if address else {}
    config = Config(
        s3=cast(Any, style),
        retries={"max_attempts": 4, "mode": "standard"},
        connect_timeout=5,
        read_timeout=_timeout(values.get("LESIONGEN_S3_TIMEOUT")),
        max_pool_connections=32,
    )
    # A session of its own, as boto3's default session keeps the keys that it first saw. It looks for keys, tokens
    # and profiles where every AWS program does.
    session = boto3.session.Session()
    if credentials := session.get_credentials():  # of a profile or a role too, which no variable holds
        known = credentials.get_frozen_credentials()
        register_secret(known.secret_key)
        register_secret(known.token)
    region = values.get("AWS_REGION") or session.region_name or "us-east-1"
    return session.client("s3", endpoint_url=address, region_name=region, config=config)


def _timeout(text: str | None) -> float:
    try:
        seconds = float(text or READ_TIMEOUT)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"LESIONGEN_S3_TIMEOUT = {text!r} is not a number of seconds", hint="Write for example 60.")
    return seconds


class S3Storage(Storage):
    """A prefix of an S3 bucket."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise UsageError(f"{uri} names no bucket", hint="Write s3://bucket/prefix.")
        if not _BUCKET.fullmatch(self.bucket):
            # A user and password before the bucket must not be repeated in any message.
            shown = "…" if "@" in uri or ":" in self.bucket else repr(self.bucket)
            hint = "Write s3://bucket/prefix; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            raise UsageError(f"invalid bucket name {shown} in an s3:// address", hint=hint)
        self.prefix = f"{prefix}/" if prefix else ""

    def _name(self, key: str) -> str:
        if ".." in key.split("/"):
            raise UsageError(f"The key {key!r} would leave {self.uri}")
        return self.prefix + key

    @contextmanager
    def _errors(self, key: str = "") -> Iterator["S3Client"]:
        try:
            yield s3_client()
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise self._explain(error, key) from error

    def _explain(self, error: Exception, key: str) -> StorageError:
        uri = f"{self.uri}/{key}" if key else self.uri
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        if isinstance(error, NoCredentialsError):
            hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or start the local servers: lesiongen up."
            return StorageError(f"{uri}: there are no S3 credentials", hint=hint)
        if isinstance(error, ProfileNotFound | PartialCredentialsError):
            hint = "Check AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            return StorageError(f"{uri}: the S3 credentials cannot be used ({error})", hint=hint)
        if not isinstance(error, ClientError):
            hint = "Check AWS_ENDPOINT_URL and that the server runs (lesiongen status)."
            return Unreachable(f"{uri}: the S3 server at {endpoint} {_failure(error)} ({error})", hint=hint)
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchBucket" or (code in _MISSING and not self._bucket_exists()):
            return StorageError(
                f"{uri}: there is no bucket {self.bucket!r} at {endpoint}",
                hint="Create it, or check the name.",
            )
        if code in _MISSING:
            return StorageError(f"{uri} does not exist", hint="Check the path, and that it has been written.")
        if code in _REFUSED:
            hint = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do in this bucket."
            return StorageError(f"{uri}: the S3 server at {endpoint} refused the access key ({code})", hint=hint)
        kind = Unreachable if _status(error) >= 500 or code == "SlowDown" else StorageError
        return kind(f"{uri}: the S3 server at {endpoint} answered {code}: {error}")

    def _bucket_exists(self) -> bool:
        try:
            s3_client().head_bucket(Bucket=self.bucket)
        except ClientError as error:
            return error.response.get("Error", {}).get("Code") not in {*_MISSING, "NoSuchBucket"}
        except BotoCoreError:
            return True
        return True

    @contextmanager
    def claiming(self) -> Iterator[Claim]:
        """Claims the prefix by an object below it."""
        with claiming_by_object(self) as claim:
            yield claim

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole object."""
        with self._errors(key) as client:
            return S3Object(client, self.bucket, self._name(key)).whole()

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object, checked by the server against its checksum."""
        with self._errors(key) as client:
            resending(
                f"{self.uri}/{key}", lambda: client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)
            )

    def create_bytes(self, key: str, data: bytes) -> Creation:
        """Writes an object on the condition that there is none, and reads it back: an answer may have been lost."""
        with self._errors(key) as client:
            stored = functools.partial(self.read_if_there, key)
            return Target(client, self.bucket, self._name(key), stored).create(data)

    def exists(self, key: str) -> bool:
        """Tells whether the object is there."""
        with self._errors(key) as client:
            try:
                client.head_object(Bucket=self.bucket, Key=self._name(key))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _MISSING and self._bucket_exists():
                    return False
                raise
        return True

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the objects, sorted by key, a page at a time."""
        with self._errors() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._name(prefix))
            try:
                for page in pages:
                    for item in page.get("Contents", []):
                        key, etag = item["Key"].removeprefix(self.prefix), item["ETag"].strip('"')
                        yield StoredObject(key, item["Size"], etag, item["LastModified"].timestamp())
            except (AttributeError, KeyError, ValueError) as error:  # boto3 takes any XML for a well formed answer
                raise ResponseParserError(f"list of objects: {error}") from error

    def delete(self, key: str) -> None:
        """Deletes the object."""
        with self._errors(key) as client:
            client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def open(self, key: str) -> BinaryIO:
        """Opens the object; reads become ranged requests."""
        with self._errors(key) as client:
            head = client.head_object(Bucket=self.bucket, Key=self._name(key))
        reader = RangeReader(self, key, head["ContentLength"], head.get("ETag", ""))
        return io.BufferedReader(reader, buffer_size=1 << 16)

    def read_range(self, key: str, start: int, end: int, etag: str = "") -> bytes:
        """Returns the bytes from ``start`` up to, not including, ``end``; with an ETag of that version only."""
        with self._errors(key) as client:
            return S3Object(client, self.bucket, self._name(key)).part(start, end, etag)

    def is_copy(self, item: StoredObject, path: Path) -> bool:
        """Tells by size and ETag whether an object holds what a local file holds."""
        return item.size == path.stat().st_size and item.etag == etag_of(path)

    def upload_file(self, path: Path, key: str) -> None:
        """Uploads a file, in parts where it is large; parts that an interrupted upload has sent are kept."""
        readable(path).close()
        with self._errors(key) as client:
            upload(client, self.bucket, self._name(key), path)

    def download_file(self, key: str, path: Path) -> None:
        """Downloads to a file that appears only when whole; what an interrupted download has fetched is kept."""
        with self._errors(key) as client:
            head = client.head_object(Bucket=self.bucket, Key=self._name(key))
            size, etag = head["ContentLength"], head.get("ETag", "").strip('"')
            path.parent.mkdir(parents=True, exist_ok=True)
            if size > part_bytes(size) and download(client, self.bucket, self._name(key), path, size=size, etag=etag):
                return
            source = S3Object(client, self.bucket, self._name(key))
            with LocalStorage(str(path.parent)).replacing(path.name) as temporary, temporary.open("wb") as file:
                if size <= part_bytes(size):
                    file.write(source.whole())
                    return
                copy_parts(source, file, size=size, etag=etag)
                file.flush()
                if differs(temporary, source, etag):
                    raise source.altered("its ETag is another")


def _failure(error: Exception) -> str:
    if isinstance(error, ReadTimeoutError):
        return "did not answer in time"
    if isinstance(error, ConnectionClosedError):
        return "broke off the connection"
    if isinstance(error, ResponseParserError):
        return "gave an answer that cannot be understood"
    return "cannot be reached"


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


class RangeReader(io.RawIOBase):
    """A seekable stream over an S3 object: what is not read is not transferred.

    Attributes:
        transferred: Bytes asked of the server so far.
    """

    def __init__(self, storage: S3Storage, key: str, size: int, etag: str) -> None:
        super().__init__()
        self.storage, self.key, self.size, self.etag = storage, key, size, etag
        self.position = 0
        self.transferred = 0

    def readable(self) -> bool:
        """Tells that the stream can be read."""
        return True

    def seekable(self) -> bool:
        """Tells that the stream can be moved in."""
        return True

    def tell(self) -> int:
        """Returns the position, in bytes."""
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset from the start, the position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer from the current position."""
        end = min(self.position + len(buffer), self.size)
        if end <= self.position:
            return 0
        data = self.storage.read_range(self.key, self.position, end, self.etag)
        buffer[: len(data)] = data
        self.position += len(data)
        self.transferred += len(data)
        return len(data)
