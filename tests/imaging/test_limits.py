"""Image files made to keep a decoder busy: each is refused for what it holds too much of, by the limit's name."""

import io
import struct
import zlib

import pytest
from PIL import Image

from lesiongen import limits
from lesiongen.imaging import ImageError, contact_sheet, decode
from lesiongen.imaging.cleaning import clean
from lesiongen.imaging.decoding import decode_small
from lesiongen.imaging.private_metadata import private_metadata

# What took minutes before; each of these is a fraction of a second.
pytestmark = pytest.mark.timeout(60)


def file_of(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(size=(64, 48), **options) -> bytes:
    return file_of(Image.new("RGB", size, "pink"), "JPEG", **options)


def of_many_scans(number: int) -> bytes:
    whole = jpeg(progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * number + b"\xff\xd9"


def of_many_exif_segments(number: int) -> bytes:
    segment = b"\xff\xe1" + struct.pack(">H", 60_002) + b"Exif\0\0" + bytes(59_994)
    return b"\xff\xd8" + segment * number + jpeg()[2:]


def of_many_comments(number: int) -> bytes:
    return b"\xff\xd8" + b"\xff\xfe\x00\x02" * number + jpeg()[2:]


def png(width: int, height: int, pixels: bytes = b"", chunks: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def empty_chunks(number: int) -> bytes:
    return (bytes(4) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))) * number


def tiff(entries: list[tuple[int, int, int, int]], behind: bytes = b"") -> bytes:
    directory = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + directory + bytes(4) + behind


def tiff_of_pages(number: int) -> bytes:
    """Pages of one pixel: each directory leads to the next."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    size = len(directory) + 4
    pages = (directory + struct.pack("<L", 8 + size * (page + 1)) for page in range(number - 1))
    return b"II*\0" + struct.pack("<L", 8) + b"".join(pages) + directory + bytes(4)


def ingested(data: bytes) -> None:
    decode_small(clean(data).data)


GIF, GIF_BLOCKS = b"GIF89a\1\0\1\0\0\0\0", ("too many parts", "MAX_GIF_BLOCKS")


@pytest.mark.parametrize(
    ("data", "reason", "limit"),
    [
        pytest.param(of_many_scans(40_000), "too many parts", "MAX_SCANS", id="scans"),
        pytest.param(of_many_exif_segments(1_200), "too many parts", "MAX_EXIF_SEGMENTS", id="exif"),
        pytest.param(of_many_comments(2_000_000), "too many parts", "MAX_JPEG_MARKERS", id="markers"),
        pytest.param(png(4, 4, chunks=empty_chunks(1_000_000)), "too many parts", "MAX_PNG_CHUNKS", id="chunks"),
        pytest.param(png(1, 50_000_000), "too large", "MAX_SIDE", id="side"),
        pytest.param(png(1, 51), "too narrow", "MAX_ASPECT", id="aspect"),
        pytest.param(png(10_001, 10_000), "too large", "MAX_PIXELS", id="pixels"),
        pytest.param(tiff([(273, 4, 30_000_000, 8)], bytes(1 << 20)), "too many parts", "MAX_TIFF_VALUES", id="strips"),
        pytest.param(GIF + b",\0\0\0\0\1\0\1\0\0\2" + b"\1\1" * 3_000_000, *GIF_BLOCKS, id="gif"),
        pytest.param(GIF + b"!\xfe" + b"\1x" * 3_000_000, *GIF_BLOCKS, id="gif comments"),
        pytest.param(GIF + bytes(3_000_000), *GIF_BLOCKS, id="gif of nothing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("decoder", [decode, decode_small, ingested])
def test_what_would_take_minutes_is_refused_at_once(data, reason, limit, decoder):
    with pytest.raises(ImageError) as caught:
        decoder(data)
    assert caught.value.reason == reason
    if limit:
        assert f"({limit})" in caught.value.detail
        assert f"{getattr(limits, limit):,}" in caught.value.detail


def test_of_a_tiff_of_many_pages_only_the_first_is_looked_at():
    data = tiff_of_pages(40_000)
    assert decode(data).size == decode_small(data).image.size == (1, 1)
    assert clean(data).removed == ("further pages",)


def test_the_pieces_of_a_jpeg_of_many_scans_are_found_in_one_pass():
    assert private_metadata(of_many_scans(40_000)) == ()


def test_a_progressive_jpeg_with_a_thumbnail_and_further_views_is_within_the_limits():
    exif = Image.Exif()
    exif[0x010E] = "lesion"
    whole = jpeg((640, 480), progressive=True, exif=exif, comment=b"by hand")
    assert decode(whole + of_many_scans(400)).size == (640, 480)  # of the second file only the markers are counted


def test_an_image_of_as_many_pixels_as_are_allowed_is_decoded():
    """A telephone's 8160 x 6144, as grey with few bytes: what is tried is that it is let through, whole and reduced."""
    data = png(8160, 6144, b"\0" * (8161 * 6144))
    assert decode(data).size == (8160, 6144)
    assert decode_small(data).width == 8160


@pytest.mark.parametrize("label", ["melanoma " * 500, "x" * 4000, " " * 4000, "\u0301" * 4000])
def test_a_long_label_does_not_slow_a_contact_sheet_down(label):
    assert contact_sheet([Image.new("RGB", (8, 8))] * 20, [label] * 20).width == 804


def test_large_pictures_are_converted_in_bands_as_small_ones_are_at_once(monkeypatch):
    rows = Image.linear_gradient("L").resize((30, 40))
    for mode, convert in (("RGBA", lambda: Image.merge("RGBA", [rows] * 4)), ("I;16", lambda: rows.convert("I;16"))):
        data = file_of(convert(), "PNG")
        whole = decode(data)
        monkeypatch.setattr("lesiongen.imaging.decoding._BAND_PIXELS", 100)
        assert decode(data).tobytes() == whole.tobytes(), mode
        monkeypatch.undo()
