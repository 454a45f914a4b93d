import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesiongen.errors import DataError
from lesiongen.imaging import ImageError, decode, encode_jpeg
from lesiongen.imaging.decoding import decode_file, decode_small, stored_pixels
from lesiongen.imaging.preprocessing import small_image
from lesiongen.imaging.private_metadata import private_metadata


def file_of(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def skin(width: int = 40, height: int = 30) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_png_keeps_every_pixel():
    assert decode(file_of(skin(), "PNG")).tobytes() == skin().tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is a text file named .jpg\n", "not an image"),
        (file_of(skin(), "JPEG")[:-200], "truncated"),
        (file_of(skin(), "PNG")[:-400], "truncated"),
        (file_of(skin(), "JPEG")[:300], "truncated"),
        (file_of(skin(), "EPS"), "not an image"),
        (file_of(skin(), "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "unsupported"),
        (png_that_claims(60_000, 60_000), "too large"),
        (png_that_claims(10_001, 10_000), "too large"),
        (file_of(skin(), "GIF", save_all=True, append_images=[skin(40, 30).rotate(90)]), "animated"),
        (file_of(Image.new("F", (4, 4), 0.5), "TIFF"), "unsupported"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(data, reason):
    with warnings.catch_warnings(), pytest.raises(ImageError) as caught:
        warnings.simplefilter("error")
        decode(data)
    assert caught.value.reason == reason
    assert isinstance(caught.value, DataError)
    assert reason in str(caught.value)


def test_the_bound_is_the_callers():
    assert decode(file_of(skin(10, 10), "PNG"), max_pixels=100).size == (10, 10)
    with pytest.raises(ImageError, match="10x10"):
        decode(file_of(skin(10, 10), "PNG"), max_pixels=99)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows run down the right side
    upright = decode(file_of(skin(40, 30), "PNG", exif=exif.tobytes()))
    assert upright.size == (30, 40)
    assert upright.tobytes() == skin(40, 30).rotate(-90, expand=True).tobytes()
    assert not upright.getexif()


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_modes_become_rgb_of_the_same_look(mode):
    colour = Image.new("RGB", (16, 16), (255, 255, 255))
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    image = decode(file_of(colour.convert(mode), kind))
    assert image.mode == "RGB"
    assert np.asarray(image).min() >= 250


def test_cmyk_jpeg_is_not_inverted():
    red = Image.new("RGB", (16, 16), (220, 40, 40))
    pixel = decode(file_of(red.convert("CMYK"), "JPEG")).getpixel((8, 8))
    assert np.allclose(pixel, (220, 40, 40), atol=12)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    grey = np.asarray(decode(file_of(Image.fromarray(ramp), "PNG")))[..., 0]
    assert np.abs(grey.ravel().astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode):
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([10, 20, 30])
        data = file_of(image, "PNG", transparency=0)
    else:
        data = file_of(Image.new("RGBA", (4, 4), (10, 20, 30, 0)).convert(mode), "PNG")
    assert decode(data).getpixel((0, 0)) == (255, 255, 255)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_an_image_or_an_image_error_and_never_anything_else(data):
    good = data.draw(st.sampled_from([file_of(skin(), "PNG"), encode_jpeg(skin()), file_of(skin(), "TIFF")]))
    damaged = bytearray(good[: data.draw(st.integers(1, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert decode(bytes(damaged), max_pixels=1_000_000).mode == "RGB"
        except ImageError as error:
            assert error.reason in {
                "not an image",
                "truncated",
                "damaged",
                "too large",
                "too narrow",
                "too many parts",
                "animated",
                "unsupported",
            }


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><html>",
        "\ufeff  <!doctype HTML>",
        "\n<html lang='en'>",
        "<!-- saved -->\n<head>",
        "<body class=x>",
    ],
)
def test_a_web_page_under_the_name_of_an_image_is_named_as_such(text):
    with pytest.raises(
        ImageError, match=r"^not an image: a web page \(HTML\) under an image's name; download"
    ) as caught:
        decode(text.encode() + b"404 Not Found")
    assert caught.value.reason == "not an image"


@pytest.mark.parametrize("text", ["<svg xmlns='x'>", "<htmlx>", "a <html>"])
def test_other_text_is_not_called_a_web_page(text):
    with pytest.raises(ImageError, match="^not an image: starts with"):
        decode(text.encode())


@pytest.mark.parametrize(
    ("pointer", "remedy"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("/annex/objects/SHA", "git annex get"),
    ],
)
def test_a_pointer_in_place_of_an_image_says_how_to_fetch_it(pointer, remedy):
    with pytest.raises(ImageError, match=f"^not an image: a pointer of .*{remedy}"):
        decode(pointer.encode())


@pytest.mark.parametrize("pages", [1, 2])
def test_the_first_page_of_a_tiff_is_the_picture(pages):
    first = skin(40, 30)
    data = file_of(first, "TIFF", save_all=True, append_images=[first.rotate(180) for _ in range(pages - 1)])
    assert decode(data).tobytes() == first.tobytes()
    assert private_metadata(data) == (("further pages",) if pages == 2 else ())


JPEGS = {
    "plain": {},
    "no subsampling": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
}


def averaged(image: Image.Image, factor: int) -> np.ndarray:
    """The luminance of an image, averaged over squares of pixels."""
    light = np.asarray(image.convert("L"), dtype=np.float64)
    height, width = (side // factor for side in light.shape)
    return light[: height * factor, : width * factor].reshape(height, factor, width, factor).mean(axis=(1, 3))


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize(("side", "factor"), [(200, 1), (256, 2), (512, 4), (1024, 8), (2048, 16)])
def test_a_small_picture_is_the_average_of_the_pixels(side, factor, options):
    scene = skin(16, 16).resize((side + 64, side), Image.Resampling.BICUBIC)
    data = file_of(scene, "JPEG", quality=95, **options)
    found = decode_small(data)
    assert (found.width, found.height, found.mode, found.image.mode) == (side + 64, side, "RGB", "YCbCr")
    assert found.image.size == ((side + 64) // factor, side // factor)
    error = np.asarray(found.image.convert("L"), dtype=np.float64) - averaged(decode(data), factor)
    assert np.abs(error).max() < 4
    assert abs(error.mean()) < 0.6


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("BMP", "RGB", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"keep_rgb": True}),
        ("WEBP", "RGB", {"lossless": True}),
    ],
)
def test_every_kind_of_file_has_a_small_picture(kind, mode, options):
    scene = skin(16, 16).resize((300, 256), Image.Resampling.BICUBIC)
    plain = scene.convert("L").convert("I").point(lambda value: value * 257) if mode == "I;16" else scene
    data = file_of(plain.convert(mode), kind, **options)
    found, whole = decode_small(data), decode_file(data)
    assert (found.file_format, found.mode, found.width) == (whole.file_format, whole.mode, 300)
    expected = small_image(whole.image)
    assert found.image.size == expected.size == (150, 128)
    error = np.asarray(found.image, dtype=np.float64) - np.asarray(expected)
    assert np.abs(error).max() < (6 if kind == "JPEG" else 1e-9)


def test_a_small_picture_is_upright():
    exif = Image.Exif()
    exif[274] = 6
    data = file_of(skin(16, 8).resize((512, 256)), "JPEG", exif=exif)
    found = decode_small(data)
    assert (found.image.size, found.width, found.height, found.orientation) == ((128, 256), 256, 512, 6)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_found_in_a_small_picture_as_in_the_whole(data):
    scene = skin(24, 24).resize((300, 260), Image.Resampling.BICUBIC)
    damaged = bytearray(file_of(scene, "JPEG", quality=85, **data.draw(st.sampled_from(list(JPEGS.values())))))
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    assert problem(decode_small, bytes(damaged)) == problem(decode_file, bytes(damaged))


def problem(read: Callable[[bytes], object], data: bytes) -> str | None:
    try:
        read(data)
    except ImageError as error:
        return str(error)
    return None


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


SMALL_FRAME = segment(0xC0, b"\x08" + struct.pack(">HH", 1, 1) + b"\x01\x01\x11\0")


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xff" * 9,
        segment(0xFE, b"comment"),
        segment(0xFE, b"comment") * 200,
        SMALL_FRAME,
        b"\xff\xd0",
        b"\xff\xd0" + struct.pack(">H", 0xFFFF),
        segment(0xC8, SMALL_FRAME),
        segment(0xDC, b"\0\1"),
        b"\xff\xe0\0\0",
    ],
    ids=["plain", "fill bytes", "comment", "comments", "frame", "restart", "long restart", "JPG", "DNL", "too short"],
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_no_jpeg_has_more_pixels_than_were_said_beforehand(options, before):
    plain = file_of(skin(), "JPEG", **options)
    data = plain[:2] + before + plain[2:]
    try:
        decoded = decode(data)
    except ImageError:
        return
    assert stored_pixels(data) >= decoded.width * decoded.height


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_pixels_of_a_file_are_said_without_decoding_it(kind):
    data = file_of(skin(40, 30), kind)
    assert stored_pixels(data) == 40 * 30
    assert stored_pixels(data[:9]) == 0
