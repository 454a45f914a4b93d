import io

import pytest
from PIL import Image, PngImagePlugin

from lesiongen.ingest.pictures import Spool, clean, is_plain


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (20, 10), "red")
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("Patient", "4711")
EXIF = Image.Exif()
EXIF[0x010F] = "camera"


@pytest.mark.parametrize(
    "data",
    [
        saved(RED, "PNG"),
        saved(RED, "JPEG"),
        saved(RED, "JPEG", progressive=True, subsampling=2),
        saved(RED, "JPEG", icc_profile=b"\0" * 200),
        saved(RED, "PNG", dpi=(72, 72)),
    ],
)
def test_plain_files_are_kept_byte_for_byte(data):
    assert is_plain(data)
    assert clean(data).data == data


@pytest.mark.parametrize(
    "data",
    [
        saved(RED, "PNG", pnginfo=TEXT),
        saved(RED, "PNG", exif=EXIF),
        saved(RED, "JPEG", exif=EXIF),
        saved(RED, "JPEG", comment=b"patient 4711"),
        saved(RED, "JPEG", xmp=b"<x/>"),
        saved(RED, "JPEG") + b"patient 4711",
        saved(RED, "PNG") + b"patient 4711",
        saved(RED.convert("L"), "JPEG"),
        saved(RED.convert("CMYK"), "JPEG"),
        saved(RED.convert("RGBA"), "PNG"),
        saved(RED.convert("P"), "PNG"),
        saved(RED, "BMP"),
        saved(RED, "WEBP", lossless=True),
        saved(RED, "MPO", save_all=True, append_images=[RED]),
    ],
)
def test_anything_else_becomes_a_bare_png(data):
    assert not is_plain(data)
    cleaned = clean(data).data
    assert is_plain(cleaned)
    assert cleaned.startswith(b"\x89PNG")
    assert b"4711" not in cleaned
    with Image.open(io.BytesIO(cleaned)) as image:
        assert image.size == RED.size
        assert not image.getexif()


def test_the_digest_is_of_the_pixels():
    assert clean(saved(RED, "PNG")).digest == clean(saved(RED, "BMP")).digest
    assert clean(saved(RED, "PNG")).digest != clean(saved(RED.rotate(90, expand=True), "PNG")).digest


def test_the_spool_gives_back_what_it_took():
    with Spool() as spool:
        places = [spool.put(data) for data in (b"one", b"", b"three")]
        assert [spool.get(place) for place in reversed(places)] == [b"three", b"", b"one"]
