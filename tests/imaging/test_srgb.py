"""A picture means the same colours to every stage, whatever colour profile its file carries."""

import io
import itertools
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from lesiongen.imaging import content_digest, decode
from lesiongen.imaging.cleaning import clean
from lesiongen.imaging.colour_profile import is_colour_profile
from lesiongen.imaging.decoding import decode_small
from lesiongen.imaging.preprocessing import small_image
from lesiongen.imaging.srgb import in_srgb, is_srgb

# Primaries adapted to D50, as the profiles state them: red, green, blue.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SKIN = (224, 180, 160)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def srgb_curve() -> bytes:
    return b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def sampled_srgb_curve() -> bytes:
    at = np.linspace(0, 1, 1024)
    values = np.where(at <= 0.04045, at / 12.92, ((at + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(values * 65535).astype(">u2").tobytes()


def profile(space: bytes, connection: bytes, **tags: bytes) -> bytes:
    """An ICC profile of version 2 with some tags beside those that every profile has."""
    named = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
    } | {name.encode(): body for name, body in tags.items()}
    start = 128 + 4 + 12 * len(named)
    table, bodies = b"", b""
    for name, body in named.items():
        table += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    header = struct.pack(">I4xI", start + len(bodies), 0x02400000) + b"mntr" + space + connection + b"\0" * 12
    header += b"acsp" + b"\0" * 28 + fixed(0.9642, 1, 0.8249) + b"\0" * 48
    return header + struct.pack(">I", len(named)) + table + bodies


def rgb_profile(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    return profile(b"RGB ", b"XYZ ", **rgb_tags(primaries, curve))


def rgb_tags(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> dict[str, bytes]:
    colours = {f"{name}XYZ": b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip("rgb", primaries, strict=True)}
    return colours | dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)


def cmyk_profile() -> bytes:
    """Inks between eight corner colours in Lab, from paper white to black."""
    ramp, corners = bytes(range(256)), b""
    for cyan, magenta, yellow, black in itertools.product((0, 1), repeat=4):
        lightness = 0 if black else 255 - 60 * (cyan + magenta) - 20 * yellow
        corners += bytes((lightness, 128 - 40 * cyan + 60 * magenta, 128 - 40 * cyan + 80 * yellow))
    table = b"mft1\0\0\0\0\4\3\2\0" + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp * 4 + corners + ramp * 3
    return profile(b"CMYK", b"Lab ", A2B0=table)


P3 = rgb_profile(DISPLAY_P3, srgb_curve())
ADOBE = rgb_profile(ADOBE_RGB, gamma(2.19921875))
GREY = profile(b"GRAY", b"XYZ ", kTRC=gamma(1.8))


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB", width: int = 300, height: int = 260) -> Image.Image:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def flat(mode: str = "RGB", colour: tuple[int, ...] | int = SKIN) -> Image.Image:
    return Image.new(mode, (40, 30), colour)


@pytest.mark.parametrize(
    ("icc", "right"),
    [(P3, (232, 178, 157)), (ADOBE, (239, 181, 161)), (rgb_profile(SRGB, gamma(1.0)), (241, 219, 208))],
    ids=["display-p3", "adobe-rgb", "linear"],
)
def test_colours_are_brought_to_srgb(icc, right):
    assert decode(file_of(flat(), icc_profile=icc)).getpixel((5, 5)) == right
    jpeg = decode(file_of(flat(), "JPEG", quality=100, subsampling=0, icc_profile=icc)).getpixel((5, 5))
    assert np.abs(np.subtract(jpeg, right)).max() <= 2


@pytest.mark.parametrize(
    "icc",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(SRGB, srgb_curve()),
        rgb_profile(SRGB, sampled_srgb_curve()),
        b"no profile at all",
        P3[:300],
        P3[:132] + b"\xff" * 100,
        GREY,
        cmyk_profile(),
        b"\0" * (5 << 20),
        profile(b"GARB", b"XYZ "),
        profile(b"RGB ", b"XYZ "),
    ],
    ids=["pillow", "curve", "sampled", "text", "cut", "damaged", "grey", "inks", "huge", "no-space", "no-tags"],
)
def test_pictures_in_srgb_and_with_unusable_profiles_keep_every_pixel(icc):
    assert is_srgb(icc)
    if len(icc) < 1 << 20:
        assert decode(file_of(noise(), icc_profile=icc)).tobytes() == noise().tobytes()
        jpeg = file_of(noise(width=2000, height=1600), "JPEG", icc_profile=icc)
        plain = file_of(noise(width=2000, height=1600), "JPEG")
        assert decode(jpeg).tobytes() == decode(plain).tobytes()
        assert decode_small(jpeg).image.tobytes() == decode_small(plain).image.tobytes()
    assert in_srgb(noise(), icc).tobytes() == noise().tobytes()


def test_a_jpeg_that_is_decoded_smaller_is_converted_too():
    like_skin = Image.blend(noise(width=2048, height=2048), Image.new("RGB", (2048, 2048), SKIN), 0.7)
    data = file_of(like_skin, "JPEG", quality=95, icc_profile=P3)
    small, whole = decode_small(data).image, small_image(decode(data))
    assert small.size == whole.size
    assert np.abs(np.asarray(small, np.int16) - np.asarray(whole, np.int16)).mean() < 0.5
    red = 2  # of luma, blue and red difference: what Display P3 stretches most
    unconverted = np.asarray(small_image(like_skin), np.int16)[..., red]
    assert np.abs(unconverted - np.asarray(whole, np.int16)[..., red]).mean() > 3


def test_transparency_grey_and_palettes_are_converted():
    see_through = flat("RGBA", (*SKIN, 255))
    assert decode(file_of(see_through, icc_profile=P3)).getpixel((5, 5)) == (232, 178, 157)
    half = decode(file_of(flat("RGBA", (*SKIN, 128)), icc_profile=P3)).getpixel((5, 5))
    assert np.abs(np.subtract(half, (243, 216, 206))).max() <= 1
    palette = flat().convert("P", palette=Image.Palette.ADAPTIVE)
    assert decode(file_of(palette, icc_profile=P3)).getpixel((5, 5)) == (232, 178, 157)
    # 128 of 255 to the power of 1.8 is 0.289 of the light, which sRGB writes as 146.
    grey = (146, 146, 146)
    assert decode(file_of(flat("L", 128), icc_profile=GREY)).getpixel((5, 5)) == grey
    assert decode(file_of(flat("LA", (128, 255)), icc_profile=GREY)).getpixel((5, 5)) == grey
    wide = Image.fromarray(np.full((30, 40), 128 * 257, dtype=np.uint16))
    assert decode(file_of(wide, icc_profile=GREY)).getpixel((5, 5)) == grey
    assert decode(file_of(flat("L", 128), icc_profile=P3)).getpixel((5, 5)) == (128, 128, 128)


def test_a_jpeg_in_inks_is_read_by_its_profile():
    inks = flat("CMYK", (0, 0, 255, 0))
    data = file_of(inks, "JPEG", quality=100, icc_profile=cmyk_profile())
    red, green, blue = decode(data).getpixel((5, 5))
    assert abs(red - 245) <= 12
    assert blue < 140 < green
    assert decode(file_of(inks, "JPEG", quality=100)).getpixel((5, 5)) == (255, 255, 0)
    small, whole = decode_small(data).image, small_image(decode(data))
    assert np.abs(np.asarray(small, np.int16) - np.asarray(whole, np.int16)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_stored_shows_the_same_pixels_as_the_source(kind):
    assert is_colour_profile(P3)
    for image, icc in itertools.product((noise(), noise("L")), (P3, ADOBE, GREY, P3 + b"junk behind")):
        data = file_of(image, kind, icc_profile=icc)
        picture = clean(data)
        assert content_digest(decode(picture.data)) == content_digest(decode(data))


def test_a_profile_with_a_private_tag_is_applied_before_it_is_dropped():
    private = profile(b"RGB ", b"XYZ ", **rgb_tags(DISPLAY_P3, srgb_curve()), mmod=b"mmod\0\0\0\0monitor 1234")
    assert not is_colour_profile(private)
    stored = clean(file_of(flat(), icc_profile=private)).data
    assert b"monitor 1234" not in stored
    with Image.open(io.BytesIO(stored)) as image:
        assert "icc_profile" not in image.info
    assert decode(stored).getpixel((5, 5)) == (232, 178, 157)


def test_threads_get_the_same_pixels():
    files = [file_of(noise(width=400 + 10 * number), icc_profile=icc) for number in range(6) for icc in (P3, ADOBE)]
    alone = [content_digest(decode(data)) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: content_digest(decode(data)), files * 4)) == alone * 4


def test_sixteen_bits_a_colour_are_scaled_and_not_cut_off():
    values = np.linspace(0, 65535, 30 * 40).astype(np.uint16).reshape(30, 40)
    grey = np.asarray(decode(file_of(Image.fromarray(values))))
    assert (grey == ((values.astype(np.int64) + 128) // 257)[..., None]).all()
    colour = np.asarray(decode(_png_of_16_bits(np.stack([values, values[::-1], values // 2], axis=-1))), np.int64)
    right = np.stack([values, values[::-1], values // 2], axis=-1) / 257
    assert np.abs(colour - right).max() < 1
    assert (colour.min(), colour.max()) == (0, 255)


def _png_of_16_bits(values: np.ndarray) -> bytes:
    """Writes what Pillow reads and does not write: three channels of 16 bits."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
