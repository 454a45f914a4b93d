"""Images: bounded decoding, the shared preprocessing, encoding, digests, contact sheets, similarity."""

from lesiongen.imaging.contact_sheet import contact_sheet
from lesiongen.imaging.decoding import MAX_PIXELS, ImageError, decode
from lesiongen.imaging.encoding import content_digest, encode_jpeg, encode_png
from lesiongen.imaging.preprocessing import square, to_array
from lesiongen.imaging.similarity import nearest

__all__ = [
    "MAX_PIXELS",
    "ImageError",
    "contact_sheet",
    "content_digest",
    "decode",
    "encode_jpeg",
    "encode_png",
    "nearest",
    "square",
    "to_array",
]
