"""Files on their way to and from S3, large ones in parts: what an interrupted transfer has sent is not sent again."""

import base64
import fcntl
import hashlib
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from botocore.exceptions import ClientError

from lesiongen.storage.s3_object import S3Object, resending

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["copy_parts", "differs", "download", "etag_of", "part_bytes", "upload"]

PART_BYTES = 8 << 20
MOST_PARTS = 10_000
"""S3's own limit of parts in an object."""
PARALLEL_PARTS = 4
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def part_bytes(size: int) -> int:
    """Returns how many bytes a part has of a file of this size; a file of one part is sent in one piece."""
    return max(PART_BYTES, -(-size // MOST_PARTS))


def etag_of(path: Path, sizes: Sequence[int] | None = None) -> str:
    """Returns the ETag that S3 gives to a file which `upload` has sent, or that was sent in parts of given sizes.

    It is the MD5 of a file sent in one piece, else the MD5 of the parts' MD5s, a dash and their number. A server that
    encrypts with keys of its own gives another; what it holds is then never taken for a copy, and is sent again.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = [_md5(file.read(length)) for length in sizes or [part_bytes(size)] * _count(size)]
    return parts[0].hex() if len(parts) == 1 and not sizes else f"{_md5(b''.join(parts)).hex()}-{len(parts)}"


def upload(client: "S3Client", bucket: str, key: str, path: Path) -> None:
    """Sends a file. Parts of an unfinished upload of the same content are kept, and only the others are sent."""
    size = path.stat().st_size
    if _count(size) == 1:
        data = path.read_bytes()
        resending(f"s3://{bucket}/{key}", lambda: client.put_object(Bucket=bucket, Key=key, Body=data))
        return
    if resumed := _resumed(client, bucket, key, path):
        try:
            _send_all(resumed)
            return
        except ClientError as error:  # begun for other checksums, at a server that does not list which
            if error.response.get("Error", {}).get("Code") != "InvalidRequest":
                raise
    _send_all(_Upload(client, bucket, key, path, _begin(client, bucket, key), {}))


def _send_all(sending: "_Upload") -> None:
    client, bucket, key, path = sending.client, sending.bucket, sending.key, sending.path
    with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
        parts = list(_in_order(pool, sending.send, range(1, _count(path.stat().st_size) + 1)))
    if any("ChecksumCRC32" not in part for part in parts):  # a server that knows no checksums
        parts = [{name: part[name] for name in ("PartNumber", "ETag")} for part in parts]
    try:
        resending(f"s3://{bucket}/{key}", lambda: client.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=sending.upload_id, MultipartUpload={"Parts": parts}
        ))  # fmt: skip
    except client.exceptions.NoSuchUpload:
        # It is completed already, and the answer was lost.
        if _etag(client, bucket, key) != etag_of(path):
            raise


def _etag(client: "S3Client", bucket: str, key: str) -> str | None:
    try:
        return client.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    except ClientError:
        return None


def download(client: "S3Client", bucket: str, key: str, path: Path, *, size: int, etag: str) -> bool:
    """Fetches a large object; what an interrupted download has left beside ``path`` is kept.

    Args:
        client: The S3 client.
        bucket: Bucket of the object.
        key: Its key.
        path: Where it goes; it appears only when whole.
        size: Bytes of the object.
        etag: Its ETag; a change of the object meanwhile is an error.

    Returns:
        False where another process is at it, or what was left of an earlier attempt is damaged.
    """
    partial = path.with_name(f".{path.name}.{re.sub(r'[^0-9A-Za-z-]', '', etag)}.part")
    with partial.open("ab") as file:
        if not _ours(file, partial):
            return False
        if file.tell() > size:
            file.truncate(0)
        source = S3Object(client, bucket, key)
        copy_parts(source, file, size=size, etag=etag)
        file.flush()
        if differs(partial, source, etag):
            partial.unlink()
            return False
        partial.replace(path)
    _remove_other_versions(path)
    return True


def copy_parts(source: S3Object, file: BinaryIO, *, size: int, etag: str) -> None:
    """Fetches what a file still lacks of an object, several parts at a time."""
    starts, step = range(file.tell(), size, part_bytes(size)), part_bytes(size)
    with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
        for data in _in_order(pool, lambda start: source.part(start, min(start + step, size), etag), starts):
            file.write(data)


def differs(path: Path, source: S3Object, etag: str) -> bool:
    """Tells whether a file is not the object that has an ETag; False where neither ETag nor server tell."""
    size = path.stat().st_size
    if _count(size) > 1 and etag == etag_of(path):
        return False
    if re.fullmatch(r"[0-9a-f]{32}", etag):
        return _md5_of(path) != etag and not source.encrypted()
    if not (parts := re.fullmatch(r"[0-9a-f]{32}-(\d+)", etag)):
        return False
    return _differs_by_parts(path, source, etag, int(parts[1]))


def _differs_by_parts(path: Path, source: S3Object, etag: str, count: int) -> bool:
    """Compares with the parts that another program has sent: most have one size, which is that of the first."""
    size = path.stat().st_size
    for asked in (1, count):
        sent = source.part_sizes(asked)
        if sent is None:
            return False
        sizes = sent if asked == count else [sent[0]] * (count - 1) + [size - sent[0] * (count - 1)]
        if min(sizes) >= 0 and etag_of(path, sizes) == etag:
            return False
    return sum(sizes) == size and not source.encrypted()


def _remove_other_versions(path: Path) -> None:
    """Removes what is left of downloads of what this file was before: nothing continues them any more."""
    of_this_file = re.compile(rf"\.{re.escape(path.name)}\.[0-9A-Za-z-]+\.part")
    for partial in path.parent.iterdir():
        if of_this_file.fullmatch(partial.name):
            with suppress(FileNotFoundError), partial.open("rb+") as file:
                if _ours(file, partial):
                    partial.unlink()


def _ours(file: BinaryIO, partial: Path) -> bool:
    """Locks a partial file; False where another process has the lock, or has just finished the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return partial.stat().st_ino == os.fstat(file.fileno()).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


@dataclass(frozen=True)
class _Upload:
    client: "S3Client"
    bucket: str
    key: str
    path: Path
    upload_id: str
    there: dict[int, Any]

    def send(self, number: int) -> Any:
        """Sends one part unless it is there; returns what completing the upload needs to know of it."""
        data = self.read(number)
        if number in self.there:
            # Servers do not list the checksums of parts, yet ask for all of them at the end.
            if not _sends_checksums(self.client):
                return {"PartNumber": number, "ETag": self.there[number]["ETag"]}
            checksum = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
            return {"PartNumber": number, "ETag": self.there[number]["ETag"], "ChecksumCRC32": checksum}
        part = resending(f"s3://{self.bucket}/{self.key}", lambda: self.client.upload_part(
            Bucket=self.bucket, Key=self.key, UploadId=self.upload_id, PartNumber=number, Body=data,
            **_checksums(self.client),
        ))  # fmt: skip
        return {"PartNumber": number, **{name: part[name] for name in ("ETag", "ChecksumCRC32") if name in part}}

    def read(self, number: int) -> bytes:
        step = part_bytes(self.path.stat().st_size)
        with self.path.open("rb") as file:
            file.seek((number - 1) * step)
            return file.read(step)


def _begin(client: "S3Client", bucket: str, key: str) -> str:
    return client.create_multipart_upload(Bucket=bucket, Key=key, **_checksums(client))["UploadId"]


def _checksums(client: "S3Client") -> Any:
    """Returns the argument that asks for checksums; none with AWS_REQUEST_CHECKSUM_CALCULATION=when_required."""
    return {"ChecksumAlgorithm": "CRC32"} if _sends_checksums(client) else {}


def _sends_checksums(client: "S3Client") -> bool:
    config: Any = client.meta.config
    return bool(config.request_checksum_calculation != "when_required")


def _resumed(client: "S3Client", bucket: str, key: str, path: Path) -> _Upload | None:
    """Returns the latest unfinished upload of this key with the parts of it that are this file's."""
    try:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
        listed = [item for page in pages for item in page.get("Uploads", []) if item["Key"] == key]
        found = [item for item in listed if _fits(item, client)]
        if not found:
            return None
        upload_id = max(found, key=lambda item: item["Initiated"])["UploadId"]
        pages_of_parts = client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id)
        parts = {part["PartNumber"]: part for page in pages_of_parts for part in page.get("Parts", [])}
    except ClientError:  # not every key may list uploads; all is then sent as if nothing were there
        return None
    sending = _Upload(client, bucket, key, path, upload_id, {})
    whole = {number: part for number, part in parts.items() if _is(part, sending.read(number))}
    return _Upload(client, bucket, key, path, upload_id, whole)


def _fits(upload: Any, client: "S3Client") -> bool:
    """Tells whether an upload was begun for the checksums that are sent now; not every server lists which."""
    named = upload.get("ChecksumAlgorithm")
    return named is None or named == _checksums(client).get("ChecksumAlgorithm")


def _is(part: Any, data: bytes) -> bool:
    return bool(part["Size"] == len(data) and part["ETag"].strip('"') == _md5(data).hex())


def _in_order(pool: ThreadPoolExecutor, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Works ahead by a few items, so that memory holds a few parts of a file of any size."""
    pending: deque[Future[_Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > PARALLEL_PARTS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _count(size: int) -> int:
    return max(1, -(-size // part_bytes(size)))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
