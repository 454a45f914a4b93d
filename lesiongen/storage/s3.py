"""The S3 side of the storage: boto3, with errors that say which bucket, key or endpoint is at fault."""

import functools
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage.claim_objects import claiming_by_object
from lesiongen.storage.creation import Target
from lesiongen.storage.interface import Claim, Creation, Storage, StoredObject
from lesiongen.storage.local import LocalStorage, readable
from lesiongen.storage.parts import copy_parts, differs, download, etag_of, part_bytes, upload
from lesiongen.storage.s3_client import CHECKSUMS, endpoint_of, s3_client
from lesiongen.storage.s3_errors import MISSING, explained, is_outage
from lesiongen.storage.s3_object import S3Object, resending

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["RangeReader", "S3Storage", "s3_client"]

FRAME_BYTES = 64
LISTINGS = 4
"""Lists that are asked for until two in a row are equal."""
_FRAME = re.compile(rb"[0-9a-f]{1,8}(?:;[^\r\n]*)?\r\n")
"""Begins the body of a request whose checksum follows it: the length of the first piece (aws-chunked)."""
_checked: set[tuple[str, str]] = set()
"""Endpoints and buckets of which an object was read back."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


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
            raise explained(error, self.uri, key, self._bucket_exists) from error

    def _bucket_exists(self) -> bool:
        try:
            s3_client().head_bucket(Bucket=self.bucket)
        except ClientError as error:
            return error.response.get("Error", {}).get("Code") not in {*MISSING, "NoSuchBucket"}
        except BotoCoreError:
            return True
        return True

    def check_settings(self) -> None:
        """Makes the client; see `Storage.check_settings`."""
        with self._errors():
            pass

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
            self._check_first(client, key, data)

    def _check_first(self, client: "S3Client", key: str, data: bytes) -> None:
        """Reads the beginning of the first object back that this process writes to a bucket.

        A server that does not know the framing of checksums after the data stores it as a part of them.

        Raises:
            StorageError: The server stored something else.
        """
        place = (client.meta.endpoint_url, self.bucket)
        if place in _checked or not data:
            return
        span = f"bytes=0-{FRAME_BYTES - 1}"
        with suppress(HTTPClientError, HTTPError):
            try:
                stored = client.get_object(Bucket=self.bucket, Key=self._name(key), Range=span)["Body"].read()
            except ClientError as error:
                if not is_outage(error):  # a key may be allowed to write and not to read
                    _checked.add(place)
                return
            if _FRAME.match(stored) and not data.startswith(stored[: len(data)]):
                raise StorageError(
                    f"The S3 server at {endpoint_of() or 'AWS'} stored other bytes than it was sent, "
                    f"in s3://{self.bucket}/{self._name(key)}",
                    hint=f"The server does not support checksums after the data. Set {CHECKSUMS}=when_required, "
                    "then write again what was written.",
                )
            _checked.add(place)

    def create_bytes(self, key: str, data: bytes) -> Creation:
        """Writes an object on the condition that it does not exist, and reads it back: an answer may have been lost."""
        with self._errors(key) as client:
            stored = functools.partial(self.read_if_there, key)
            return Target(client, self.bucket, self._name(key), stored).create(data)

    def exists(self, key: str) -> bool:
        """Tells whether the object is there."""
        with self._errors(key) as client:
            try:
                client.head_object(Bucket=self.bucket, Key=self._name(key))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in MISSING and self._bucket_exists():
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
                        if not item["Key"].startswith(self._name(prefix)):
                            raise ValueError(f"{item['Key']!r} does not begin with {self._name(prefix)!r}")
                        key, etag = item["Key"].removeprefix(self.prefix), item["ETag"].strip('"')
                        yield StoredObject(key, item["Size"], etag, item["LastModified"].timestamp())
            except (AttributeError, KeyError, ValueError) as error:  # boto3 takes any XML for a well formed answer
                raise ResponseParserError(f"list of objects: {error}") from error

    def checked_list(self, prefix: str = "") -> Sequence[StoredObject]:
        """Returns what `list` yields once two lists in a row are equal: S3 has no checksum for them.

        A list that comes by https is taken as it is, since TLS finds changed bytes.
        """
        listed = [*self.list(prefix)]
        if s3_client().meta.endpoint_url.startswith("https://"):
            return listed
        for _ in range(LISTINGS - 1):
            before, listed = listed, [*self.list(prefix)]
            if listed == before:
                return listed
        raise StorageError(
            f"The objects of {self.uri} are listed differently from one time to the next",
            hint="Start it again once nothing writes there any more. Otherwise check the network, and use https.",
        )

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
        """Tells whether an object holds, by size and ETag, what a local file holds."""
        return item.size == path.stat().st_size and item.etag == etag_of(path)

    def upload_file(self, path: Path, key: str) -> None:
        """Uploads a file, in parts where it is large; parts that an interrupted upload has sent are kept."""
        readable(path).close()
        with self._errors(key) as client:
            upload(client, self.bucket, self._name(key), path)
            with path.open("rb") as file:
                self._check_first(client, key, file.read(FRAME_BYTES))

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
        """Returns True: the stream can be read."""
        return True

    def seekable(self) -> bool:
        """Returns True: the stream can be moved in."""
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
