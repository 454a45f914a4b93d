import io
import weakref
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from lesiongen import limits
from lesiongen.imaging import ImageError, decode
from lesiongen.imaging.cleaning import clean, clean_all
from lesiongen.imaging.decoding_room import DecodingRoom
from lesiongen.imaging.examination import EXAMINED, examine_all
from lesiongen.imaging.stripping import stripped


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def skin() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))


RED = Image.new("RGB", (20, 10), "red")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
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
        saved(RED, "JPEG", icc_profile=SRGB),
        saved(RED, "PNG", dpi=(72, 72)),
        saved(RED, "PNG", icc_profile=SRGB),
    ],
)
def test_plain_files_are_kept_byte_for_byte(data):
    assert stripped(data) == data
    assert clean(data).data == data


SECOND = Image.new("RGB", (20, 10), "blue")
GPS = Image.Exif()
GPS.get_ifd(0x8825)[1] = "N"
GPS[0x013B] = "Dr. Anna Muster"


@pytest.mark.parametrize(
    ("data", "removed"),
    [
        (saved(RED, "PNG", pnginfo=TEXT), ("text",)),
        (saved(RED, "PNG", exif=GPS), ("EXIF GPS", "EXIF name")),
        (saved(RED, "JPEG", exif=GPS), ("EXIF GPS", "EXIF name")),
        (saved(RED, "JPEG", progressive=True, comment=b"patient 4711"), ("comment",)),
        (saved(RED, "JPEG", xmp=b"<x/>"), ("XMP",)),
        (saved(RED, "JPEG") + b"patient 4711", ("data after the picture",)),
        (saved(RED, "PNG") + b"patient 4711", ("data after the picture",)),
        (saved(RED, "JPEG", exif=EXIF), ()),
        (saved(RED, "MPO", save_all=True, append_images=[SECOND]), ("data after the picture",)),
    ],
)
def test_what_is_not_picture_is_removed_and_named_and_the_picture_keeps_its_bytes(data, removed):
    assert stripped(data) != data
    picture = clean(data)
    assert stripped(picture.data) == picture.data
    assert picture.data[:2] == data[:2]
    assert len(picture.data) < len(data)
    assert decode(picture.data).tobytes() == decode(data).tobytes()
    for secret in (b"4711", b"Muster", b"Exif", b"xap/1.0", b"MPF"):
        assert secret not in picture.data
    assert set(removed) <= set(picture.removed)


def test_a_comment_between_the_scans_and_a_thumbnail_go_too():
    whole = saved(skin(), "JPEG", progressive=True)
    second_scan = whole.index(b"\xff\xc4", whole.index(b"\xff\xda"))
    secret = b"\xff\xfe" + (14).to_bytes(2, "big") + b"patient 4711"
    assert clean(whole[:second_scan] + secret + whole[second_scan:]).data == whole
    thumbnail = bytes([2, 1]) + b"4711-1"
    with_one = whole[:4] + (16 + 6).to_bytes(2, "big") + whole[6:18] + thumbnail + whole[20:]
    assert with_one != whole
    assert clean(with_one).data == whole


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


ADOBE = b"Adobe\0\x64\0\0\0\0\x01"
ICC = b"ICC_PROFILE\0\x01\x01"
SECRET = b"patient 4711"


@pytest.mark.parametrize(
    ("hidden", "kept", "removed"),
    [
        (segment(0xEE, ADOBE + SECRET), segment(0xEE, ADOBE), "other data"),
        (segment(0xEE, ADOBE) + segment(0xEE, ADOBE[:-7] + SECRET[:7]), segment(0xEE, ADOBE), "other data"),
        (segment(0xEE, b"Adobe" + SECRET[:6]), b"", "other data"),
        (segment(0xE2, ICC + SECRET), b"", "unusable colour profile"),
        (segment(0xE2, ICC + SRGB + SECRET), b"", "unusable colour profile"),
        (segment(0xE2, ICC + SRGB.replace(b"chrm", b"4711")), b"", "unusable colour profile"),
        (segment(0xE2, ICC[:-2] + b"\x02\x01" + SRGB), b"", "unusable colour profile"),
        (segment(0xE2, b"MPF\0" + SECRET), b"", "other data"),
        (segment(0xE1, b"Exif\1" + SECRET), b"", "other data"),
        (segment(0xE0, b"JFXX\0" + SECRET), b"", "thumbnail"),
        (segment(0xE0, b"JFIF\0" + SECRET), b"", "other data"),
        *((segment(marker, SECRET), b"", "other data") for marker in (0xE0, *range(0xE3, 0xF0))),
        (segment(0xFE, SECRET), b"", "comment"),
        (segment(0xDC, SECRET), b"", "other data"),
    ],
)
def test_no_segment_of_a_jpeg_holds_a_text(hidden, kept, removed):
    plain = saved(RED, "JPEG")
    picture = clean(plain[:20] + hidden + plain[20:])
    assert picture.data == plain[:20] + kept + plain[20:]
    assert removed in picture.removed
    assert clean(picture.data).removed == ()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("marker", [0xDB, 0xDC])
def test_no_table_behind_the_last_scan_holds_a_text(progressive, marker):
    plain = saved(skin(), "JPEG", progressive=progressive)
    table = bytes([0]) + SECRET.ljust(64, b".")  # of quantization, as a decoder takes it
    picture = clean(plain[:-2] + segment(marker, table) + plain[-2:])
    assert (picture.data, picture.removed) == (plain, ("other data",))


@pytest.mark.parametrize(
    ("hidden", "removed"),
    [
        (chunk(b"prVt", SECRET), "other data"),
        (chunk(b"sPLT", SECRET), "other data"),
        (chunk(b"pHYs", SECRET), "other data"),
        (chunk(b"pHYs", b"\0" * 9) * 2, "other data"),
        (chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(SECRET)), "unusable colour profile"),
        (chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(SRGB) + SECRET), "unusable colour profile"),
        (chunk(b"iCCP", SECRET + b"\0\0" + zlib.compress(SRGB)), "text"),
        (chunk(b"tEXt", SECRET), "text"),
    ],
)
def test_no_chunk_of_a_png_holds_a_text(hidden, removed):
    plain = saved(RED, "PNG")
    picture = clean(plain[:33] + hidden + plain[33:])
    assert SECRET not in picture.data
    assert picture.removed == (removed,)
    assert clean(picture.data).removed == ()
    with_end = plain[:-12] + chunk(b"IEND", SECRET)
    assert clean(with_end).data == plain
    assert clean(with_end).removed == ("other data",)


def test_a_colour_transform_and_a_profile_in_parts_stay():
    plain = saved(RED, "JPEG")
    half = len(SRGB) // 2
    parts = segment(0xE2, ICC[:-2] + b"\x01\x02" + SRGB[:half]) + segment(0xE2, ICC[:-2] + b"\x02\x02" + SRGB[half:])
    data = plain[:20] + segment(0xEE, ADOBE) + parts + plain[20:]
    assert clean(data).data == data


@pytest.mark.parametrize("kind", ["TIFF", "WEBP"])
def test_what_other_formats_carry_is_named(kind):
    named = Image.Exif()
    named[0x010D] = "patient 4711"
    if kind == "TIFF":  # both are tags of its own
        named[0x02BC], named[0x83BB] = b"<x>4711</x>", b"4711"
    picture = clean(saved(RED, kind, exif=named, xmp=b"<x>4711</x>"))
    assert set(picture.removed) == {"EXIF comment", "XMP"} | ({"IPTC"} if kind == "TIFF" else set())
    assert b"4711" not in picture.data


def test_a_turned_photograph_is_set_upright_and_written_anew():
    turned = Image.Exif()
    turned[0x0112] = 6
    cleaned = clean(saved(skin(), "JPEG", exif=turned)).data
    assert cleaned.startswith(b"\x89PNG")
    assert decode(cleaned).tobytes() == decode(saved(skin(), "JPEG", exif=turned)).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        saved(RED.convert("L"), "JPEG"),
        saved(RED.convert("CMYK"), "JPEG"),
        saved(RED.convert("RGBA"), "PNG"),
        saved(RED.convert("P"), "PNG"),
        saved(RED, "BMP"),
        saved(RED, "WEBP", lossless=True),
    ],
)
def test_anything_else_becomes_a_bare_png(data):
    assert stripped(data) is None
    cleaned = clean(data).data
    assert stripped(cleaned) == cleaned
    assert cleaned.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(cleaned)) as image:
        assert (image.mode, image.size) == ("RGB", RED.size)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_stripping_any_bytes_ends_and_strips_once_for_all(data):
    good = data.draw(st.sampled_from([saved(skin(), "JPEG", exif=GPS), saved(skin(), "PNG", exif=GPS)]))
    damaged = bytearray(good[: data.draw(st.integers(1, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    once = stripped(bytes(damaged))
    assert once is None or stripped(once) == once


@pytest.fixture
def room(tmp_path):
    (tmp_path / "room").touch()
    return DecodingRoom(tmp_path / "room", limits.MAX_PIXELS)


def test_files_are_examined_as_they_are_stored(room):
    plain, named, drawn = saved(skin(), "JPEG"), saved(skin(), "JPEG", exif=GPS), saved(skin(), "BMP")
    cut, unread = plain[: len(plain) // 2], drawn[:60]
    found = clean_all(room, [plain, cut, named, unread, drawn])
    kept, problem, stripped_of, other, coded = found.images
    assert kept is None
    assert (problem[:10], other[:10]) == ("truncated:", "truncated:")
    assert (stripped_of, coded) == (clean(named), clean(drawn))
    again = examine_all([plain, stripped_of.data, coded.data])
    assert found.examinations.fingerprints.tolist() == again.fingerprints.tolist()
    for name in EXAMINED:
        assert found.examinations.columns[name].tolist() == again.columns[name].tolist()


def test_what_a_plain_file_carries_is_not_looked_for_again(room, monkeypatch):
    plain = [saved(skin(), "JPEG"), saved(skin(), "PNG")]
    monkeypatch.setattr("lesiongen.imaging.examination.private_metadata", None)
    assert clean_all(room, plain).examinations.columns["private_metadata"].tolist() == [None, None]


def test_a_plain_file_is_not_decoded_to_be_kept(monkeypatch):
    plain = saved(skin(), "JPEG")
    monkeypatch.setattr("lesiongen.imaging.cleaning.decode", None)
    assert clean(plain).data is plain


def test_a_file_that_is_drawn_anew_and_is_damaged_is_refused():
    with pytest.raises(ImageError):
        clean(saved(skin(), "BMP")[:200])


def test_no_file_is_nothing(room):
    assert clean_all(room, []).images == []


PRIVATE = {
    "PNG": saved(RED, "PNG", pnginfo=TEXT),
    "JPEG": saved(RED, "JPEG", exif=EXIF),
    "BMP": saved(RED, "BMP"),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_one_picture_is_decoded_at_a_time(monkeypatch, kind):
    made, alive = [], []

    def counted(data):
        image = decode(data)
        made.append(weakref.ref(image))
        alive.append(sum(each() is not None for each in made))
        return image

    monkeypatch.setattr("lesiongen.imaging.cleaning.decode", counted)
    assert stripped(PRIVATE[kind]) != PRIVATE[kind]
    clean(PRIVATE[kind])
    assert set(alive) == {1}
