"""Image files of every format that is read, damaged byte by byte and piece by piece."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from lesiongen.imaging import contact_sheet
from lesiongen.imaging.cleaning import clean
from lesiongen.imaging.decoding import decode_small
from lesiongen.imaging.file_pieces import JPEG_START, PNG_START, jpeg_pieces, png_pieces
from lesiongen.imaging.private_metadata import private_metadata
from tests.fuzz.mutation import NUMBERS, damaged, shuffled

MODES = {
    "JPEG": ("RGB", "L", "CMYK", "YCbCr"), "PNG": ("RGB", "RGBA", "P", "L", "LA", "I;16", "1"),
    "TIFF": ("RGB", "RGBA", "L", "CMYK", "I;16", "F", "1", "P"), "WEBP": ("RGB", "RGBA"),
    "BMP": ("RGB", "L", "P", "1"), "GIF": ("P", "L"),
}  # fmt: skip


def whole(rng: random.Random) -> tuple[str, bytes]:
    """Returns a format and an undamaged file of it."""
    kind = rng.choice(list(MODES))
    size = (rng.choice((1, 7, 16, 40, 130)), rng.choice((1, 9, 16, 33, 130)))
    noise = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
    mode = rng.choice(MODES[kind])
    image = noise.convert("L").convert(mode) if mode in ("I;16", "F", "LA") else noise.convert(mode)
    options: dict[str, object] = {}
    if rng.random() < 0.4:
        exif = Image.Exif()
        exif[274], exif[0x010E] = rng.randint(0, 9), "text"
        options["exif"] = exif
    if kind == "JPEG":
        options |= {"progressive": rng.random() < 0.5, "comment": b"c" * rng.choice((0, 300))}
    if kind == "TIFF":
        options["compression"] = rng.choice((None, "tiff_lzw", "tiff_deflate", "packbits"))
    if kind in ("GIF", "TIFF", "PNG", "WEBP") and rng.random() < 0.2:
        options |= {"save_all": True, "append_images": [image] * rng.choice((1, 5))}
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except Exception:  # a combination that the format does not have
        buffer = io.BytesIO()
        noise.save(buffer, kind)
    return kind, buffer.getvalue()


def broken(rng: random.Random) -> bytes:
    """Returns a file that is damaged, or not."""
    _, data = whole(rng)
    if rng.random() < 0.5:
        data = _in_pieces(rng, data)
    return damaged(rng, data) if rng.random() < 0.8 else data


def _in_pieces(rng: random.Random, data: bytes) -> bytes:
    if data.startswith(PNG_START):
        pieces = [data[place] for _, place in png_pieces(data)]
        return PNG_START + b"".join(_resealed(rng, piece) for piece in shuffled(rng, pieces))
    if data.startswith(JPEG_START):
        return JPEG_START + b"".join(shuffled(rng, [data[place] for _, place in jpeg_pieces(data)]))
    return data


def _resealed(rng: random.Random, chunk: bytes) -> bytes:
    """Gives a chunk of a PNG a right checksum, and its header other numbers now and then."""
    name, body = chunk[4:8], chunk[8:-4]
    if name == b"IHDR" and rng.random() < 0.3:
        sides = [rng.choice((1, 5, 40_000, *NUMBERS)) % 2**31 for _ in range(2)]
        body = struct.pack(">II", *sides) + body[8:]
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def build(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes a file; it is cleaned as at ingest and examined as at validation."""
    data = broken(rng)
    (folder / "image").write_bytes(data)

    def act() -> None:
        picture = clean(data)
        assert private_metadata(picture.data) == (), "something private was kept"
        contact_sheet([decode_small(data).image, decode_small(picture.data).image], ["before", "after"])
        private_metadata(data)

    return act
