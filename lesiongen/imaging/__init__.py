"""Images: bounded decoding, the shared preprocessing, digests, contact sheets, near-duplicates."""

from lesiongen.imaging.contact_sheet import contact_sheet
from lesiongen.imaging.decoding import ImageError, decode
from lesiongen.imaging.duplicate_pairs import (
    LOOK_ALIKE,
    SAME_PHOTOGRAPH,
    NearDuplicate,
    duplicate_groups,
    pairs_among,
)
from lesiongen.imaging.duplicates import near_duplicates
from lesiongen.imaging.encoding import content_digest, encode_jpeg, encode_png
from lesiongen.imaging.fingerprints import Fingerprint, FingerprintFile, fingerprint
from lesiongen.imaging.preprocessing import square, to_array
from lesiongen.imaging.similarity import nearest

__all__ = [
    "LOOK_ALIKE",
    "SAME_PHOTOGRAPH",
    "Fingerprint",
    "FingerprintFile",
    "ImageError",
    "contact_sheet",
    "content_digest",
    "decode",
    "duplicate_groups",
    "encode_jpeg",
    "encode_png",
    "fingerprint",
    "NearDuplicate",
    "near_duplicates",
    "nearest",
    "pairs_among",
    "square",
    "to_array",
]
