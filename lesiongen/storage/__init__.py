"""Local folders and ``s3://`` prefixes behind one interface.

Endpoint and keys come from variables that begin with ``LESIONGEN_S3_``, or else from those of AWS; with an endpoint
given, buckets are addressed by path, as MinIO, SeaweedFS and Ceph expect. Nothing relies on rename or on conditional
writes alone: a prefix is new for every version (`unique_prefix`), and what makes it valid, its manifest, is written
last.
"""

from lesiongen.storage.address import local_path, normal_address, open_storage, overlap, unique_prefix
from lesiongen.storage.claims import claimed
from lesiongen.storage.files import (
    CHUNK,
    already_holds,
    as_json,
    file_digest,
    json_digest,
    path_digest,
    temporary_space,
)
from lesiongen.storage.interface import Claim, Creation, Storage, StoredObject, in_parallel
from lesiongen.storage.local import LocalStorage, check_reachable, readable

__all__ = [
    "CHUNK",
    "Claim",
    "Creation",
    "LocalStorage",
    "Storage",
    "StoredObject",
    "already_holds",
    "as_json",
    "check_reachable",
    "claimed",
    "file_digest",
    "in_parallel",
    "json_digest",
    "local_path",
    "normal_address",
    "open_storage",
    "overlap",
    "path_digest",
    "readable",
    "temporary_space",
    "unique_prefix",
]
