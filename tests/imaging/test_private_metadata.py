"""Tests of what is found in image files beside the picture."""

from io import BytesIO

import pytest
from PIL import Image

from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.stripping import stripped

FIRST, SECOND = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))


def saved(image, file_format, **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def signed():
    exif = Image.Exif()
    exif[0x013B] = "Dr. Example"
    return exif


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_second_picture_behind_the_first_is_named(file_format):
    first = saved(FIRST, file_format)

    assert private_metadata(first) == ()
    assert private_metadata(first + saved(SECOND, file_format, exif=signed())) == ("data after the picture",)


def test_further_views_of_a_phone_are_named():
    data = saved(FIRST, "MPO", save_all=True, append_images=[SECOND])

    assert "data after the picture" in private_metadata(data)


def test_end_of_a_thumbnail_is_not_the_end_of_the_picture():
    thumbnail = saved(SECOND, "JPEG")
    segment = b"Exif\0\0" + thumbnail
    whole = saved(FIRST, "JPEG")
    data = whole[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + whole[2:]

    assert "data after the picture" not in private_metadata(data)


def with_segment(data, marker, body, *, at=2, fill=0):
    return data[:at] + b"\xff" * (fill + 1) + marker + (len(body) + 2).to_bytes(2, "big") + body + data[at:]


@pytest.mark.parametrize("fill", [0, 1, 5])
def test_what_ingest_strips_is_named_behind_fill_bytes_too(fill):
    plain = saved(FIRST, "JPEG")
    hidden = with_segment(plain, b"\xe1", signed().tobytes(), at=20, fill=fill)

    assert stripped(hidden) == plain
    assert private_metadata(hidden) == ("EXIF name",)


def test_a_comment_between_two_scans_is_named():
    plain = saved(FIRST, "JPEG", progressive=True)
    second = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
    hidden = with_segment(plain, b"\xfe", b"patient 4711", at=second)

    assert stripped(hidden) == plain
    assert private_metadata(hidden) == ("comment",)


def test_zeros_behind_the_picture_say_nothing_and_a_missing_end_hides_nothing():
    plain = saved(FIRST, "PNG")

    assert private_metadata(plain + b"\0" * 40) == ()
    assert private_metadata(plain[:-12] + b"patient 4711 of the clinic") == ("data after the picture",)
