"""Creating an S3 object that must not be there yet, on servers that guard against a second writer and on others."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lesiongen.errors import StorageError
from lesiongen.storage.interface import Creation
from lesiongen.storage.s3_object import resending

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Target"]

_REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_UNKNOWN = {"NotImplemented", "InvalidArgument", "InvalidRequest"}
"""Answers of servers that do not know the condition and do not ignore it."""
_ATTEMPTS = 3
_guards: dict[tuple[str, str], bool] = {}
_guards_lock = threading.Lock()


@dataclass(frozen=True)
class Target:
    """An object to be created.

    Attributes:
        client: The S3 client.
        bucket: Its bucket.
        key: Its key.
        stored: Returns the bytes that it holds now, None where it is not there.
    """

    client: "S3Client"
    bucket: str
    key: str
    stored: Callable[[], bytes | None]

    def create(self, data: bytes) -> Creation:
        """Writes the object unless it is there.

        Raises:
            StorageError: The server refuses to write the object, although it does not exist.
        """
        there = self.stored()  # on a server that ignores the condition, nothing else keeps an older object
        for _ in range(_ATTEMPTS):
            if there is not None:
                break
            self._put(data)  # what it answers may be of an attempt before, whose answer was lost
            there = self.stored()
        else:
            raise StorageError(f"s3://{self.bucket}/{self.key} is being written or deleted by another process")
        if there != data:
            return Creation.TAKEN
        return Creation.CREATED if self._is_guarded(data) else Creation.UNGUARDED

    def _put(self, data: bytes) -> bool:
        """Writes unless there is an object; returns whether it was written."""
        try:
            self._send(data, IfNoneMatch="*")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _REFUSED:
                return False
            if code not in _UNKNOWN:
                raise
            self._send(data)
        return True

    def _send(self, data: bytes, **condition: Any) -> None:
        resending(
            f"s3://{self.bucket}/{self.key}",
            lambda: self.client.put_object(Bucket=self.bucket, Key=self.key, Body=data, **condition),
        )

    def _is_guarded(self, data: bytes) -> bool:
        """Tells whether the server refuses to replace an object, found out with the object and its own bytes."""
        place = (self.client.meta.endpoint_url, self.bucket)
        with _guards_lock:
            if place not in _guards:
                _guards[place] = not self._put(data)
            return _guards[place]
