"""Encoding of images, and the digest that names their content."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO

import xxhash
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lesiongen.imaging.pixels import pixels

__all__ = ["content_digest", "encode_jpeg", "encode_png", "pixel_hash"]

_BAND_PIXELS = 4_000_000


def encode_png(
    image: Image.Image,
    metadata: Mapping[str, object] | None = None,
    *,
    exif: bytes | None = None,
    xmp: str | None = None,
) -> bytes:
    """Encodes an image as PNG, the same bytes for the same pixels and metadata.

    Args:
        image: Image to encode.
        metadata: Written as PNG text fields; a value that is not a string is written as JSON.
        exif: Written as the EXIF of the file.
        xmp: Written as its XMP.
    """
    info = PngInfo()
    for key, value in (metadata or {}).items():
        info.add_text(key, value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp)
    buffer = BytesIO()
    image.save(buffer, format="PNG", pnginfo=info, **({"exif": exif} if exif else {}))
    return buffer.getvalue()


def encode_jpeg(image: Image.Image, *, quality: int = 92) -> bytes:
    """Encodes an image as JPEG without colour subsampling (colour carries the diagnosis), and nothing beside it."""
    buffer = BytesIO()
    plain = image.convert("RGB")
    plain.info = {}  # Pillow writes a comment that the image came with
    plain.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def content_digest(image: Image.Image) -> str:
    """Returns the SHA-256 of mode, size and pixels: equal for equal images, whatever file held them."""
    digest = hashlib.sha256(f"{image.mode}:{image.width}x{image.height}:".encode())
    rows = max(1, _BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):  # a copy of all pixels would double what a large image takes
        digest.update(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())
    return digest.hexdigest()


def pixel_hash(image: Image.Image) -> str:
    """Returns the 128-bit XXH3 of size and pixels of an RGB image, for comparisons within one run.

    As good as `content_digest` where nobody forges images, at a twentieth of the time.
    """
    return f"{image.width}x{image.height}:{xxhash.xxh3_128_hexdigest(pixels(image).data)}"
