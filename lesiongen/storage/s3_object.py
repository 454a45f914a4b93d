"""Reading an S3 object so that a broken connection is outlasted, and what arrives is what is stored.

boto3 tries requests again, but not the bodies of answers: a connection may break, or a byte change, after the answer
has begun. Every body is measured against the length that was asked for. A whole one is compared with the checksum that
the server has of it and, where the ETag is an MD5, with that too; a part has neither, and who reads it compares it with
a digest of his own.
"""

import hashlib
import http.client
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter
from urllib3.exceptions import HTTPError

from lesiongen.errors import StorageError, Unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Object", "resending"]

ATTEMPTS = 4
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
"""Seconds."""
_MD5 = re.compile(r"[0-9a-f]{32}")
_ALTERED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "MalformedXML"}
_Result = TypeVar("_Result")


class _BrokenOff(Unreachable):
    """The server ended an answer before all of it was there."""


class _Altered(StorageError):
    """What arrived is not what is stored."""


@dataclass(frozen=True)
class S3Object:
    """An object of a bucket.

    Attributes:
        client: The S3 client.
        bucket: Its bucket.
        key: Its key.
    """

    client: "S3Client"
    bucket: str
    key: str

    def whole(self) -> bytes:
        """Returns all of it.

        Raises:
            Unreachable: The connection broke again and again.
            StorageError: What arrives is not what is stored.
        """
        return _again(lambda: self._body(None))

    def part(self, start: int, end: int, etag: str) -> bytes:
        """Returns the bytes from ``start`` up to, not including, ``end`` of the version that has an ETag.

        Raises:
            Unreachable: The connection broke again and again.
            StorageError: The object was replaced.
        """
        condition = {"IfMatch": etag} if etag else {}
        try:
            return _again(lambda: self._body((start, end), **condition))
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
                raise
            hint = "Start it again once nothing writes there any more."
            raise StorageError(f"{self} was replaced while it was read", hint=hint) from error

    def part_sizes(self, count: int) -> list[int] | None:
        """Returns how many bytes each of the parts has in which it was sent; None where the server does not say."""
        try:
            heads = [self.client.head_object(Bucket=self.bucket, Key=self.key, PartNumber=n + 1) for n in range(count)]
        except ClientError:
            return None
        return [head["ContentLength"] for head in heads]

    def encrypted(self) -> bool:
        """Tells whether the server encrypts it, so that its ETag is no MD5."""
        return "ServerSideEncryption" in self.client.head_object(Bucket=self.bucket, Key=self.key)

    def altered(self, why: str) -> StorageError:
        """Returns the error of bytes that arrive, yet are not what is stored."""
        hint = "Check the network and the server, or write the object again."
        return _Altered(f"{self}: what arrives is not what is stored: {why}", hint=hint)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def _body(self, span: tuple[int, int] | None, **condition: Any) -> bytes:
        if span:
            condition["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        answer = self.client.get_object(Bucket=self.bucket, Key=self.key, **condition)
        try:
            data = answer["Body"].read()
        except FlexibleChecksumError as error:
            raise self.altered("its checksum is another") from error
        except (BotoCoreError, HTTPError, http.client.HTTPException, OSError) as error:
            raise _BrokenOff(f"{self}: the S3 server broke off while sending it ({error})") from error
        expected = span[1] - span[0] if span else answer.get("ContentLength", len(data))
        if len(data) != expected:
            raise _BrokenOff(f"{self}: the S3 server sent {len(data)} bytes instead of {expected}")
        etag = answer.get("ETag", "").strip('"')
        if span is None and _MD5.fullmatch(etag) and not answer.get("ServerSideEncryption") and _md5(data) != etag:
            raise self.altered(f"its MD5 is {_md5(data)} instead of {etag}")
        return data


def resending(name: str, send: Callable[[], _Result]) -> _Result:
    """Sends an object or a part of one, again where the server says that it arrived changed.

    Raises:
        StorageError: It arrives changed again and again.
    """

    def sent() -> _Result:
        try:
            return send()
        except ClientError as error:
            if (code := error.response.get("Error", {}).get("Code")) in _ALTERED:
                raise _Altered(f"{name}: what the S3 server received is not what was sent ({code})") from error
            raise

    return _again(sent)


def _again(work: Callable[[], _Result]) -> _Result:
    retrying = Retrying(
        retry=retry_if_exception_type((_BrokenOff, _Altered)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        reraise=True,
    )
    return retrying(work)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
