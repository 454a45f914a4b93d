"""Tests of what is found in image files beside the picture."""

from io import BytesIO

import pytest
from PIL import Image

from lesiongen.imaging.private_metadata import private_metadata

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
