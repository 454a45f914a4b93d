"""What is looked up in an image file: what it is, what it carries, whether the photograph is of use."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageFilter, PngImagePlugin
from scipy.ndimage import label

from lesiongen.imaging import decode, encode_png
from lesiongen.imaging.encoding import pixel_hash
from lesiongen.imaging.examination import EXAMINED, examine_all
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.quality import sharpness, vignette_share
from lesiongen.phantoms.concepts import PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render


def examine(data: bytes) -> SimpleNamespace:
    """What is looked up in one file, by name."""
    found = examine_all([data])
    return SimpleNamespace(**{name: found.columns[name][0] for name in EXAMINED}, prints=found.fingerprints.tolist())


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(**tags: object) -> Image.Exif:
    result = Image.Exif()
    inner = result.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        holder = inner if name in ("BodySerialNumber", "UserComment", "DateTimeOriginal") else result
        holder[ExifTags.Base[name]] = value
    return result


def located() -> Image.Exif:
    result = Image.Exif()
    result.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return result


def texts(**entries: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in entries.items():
        info.add_text(key, value)
    return info


@pytest.fixture(scope="module")
def lesion() -> Image.Image:
    config = PhantomConfig(size=256, seed=3)
    return render(draw_concepts(config, 0), config.size)


RED = Image.new("RGB", (20, 10), "red")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (saved(RED, "PNG"), ()),
        (saved(RED, "PNG", dpi=(72, 72)), ()),
        (saved(RED, "JPEG", icc_profile=SRGB), ()),
        (saved(RED, "JPEG", icc_profile=b"\0" * 200), ("unusable colour profile",)),
        (saved(RED, "JPEG", exif=exif(Orientation=6)), ()),
        (saved(RED, "JPEG", exif=located()), ("EXIF GPS",)),
        (saved(RED, "PNG", exif=located().tobytes()), ("EXIF GPS",)),
        (saved(RED, "TIFF", exif=exif(Artist="Dr. A")), ("EXIF name",)),
        (saved(RED, "JPEG", exif=exif(BodySerialNumber="4711")), ("EXIF camera serial",)),
        (saved(RED, "JPEG", exif=exif(Artist="A", DateTimeOriginal="2020:01:01")), ("EXIF name", "EXIF date")),
        (saved(RED, "JPEG", comment=b"patient 4711"), ("comment",)),
        (saved(RED, "JPEG", xmp=b"<x/>"), ("XMP",)),
        (saved(RED, "PNG", pnginfo=texts(Patient="4711")), ("text",)),
        (saved(RED, "JPEG") + b"patient 4711", ("data after the picture",)),
        (saved(RED, "PNG") + b"patient 4711", ("data after the picture",)),
        (saved(RED, "JPEG")[:2] + b"\xff\xe1\0\x0aExif\0\0??" + saved(RED, "JPEG")[2:], ("EXIF unreadable",)),
    ],
)
def test_what_could_identify_a_person_is_named(data, kinds):
    assert private_metadata(data) == kinds
    assert examine(data).private_metadata == (", ".join(kinds) or None)


def test_a_sound_file(lesion):
    found = examine(encode_png(lesion))
    assert (found.decode_problem, found.file_format, found.mode) == (None, "PNG", "RGB")
    assert (found.width, found.height, found.orientation_pending) == (256, 256, None)
    assert found.file_hash == examine(encode_png(lesion)).file_hash != examine(saved(lesion, "BMP")).file_hash
    assert found.prints == examine(saved(lesion, "BMP")).prints != examine(encode_png(lesion.rotate(90))).prints
    assert found.contrast > 5


def test_a_turned_file_is_upright_and_says_so():
    found = examine(saved(RED, "JPEG", exif=exif(Orientation=6)))
    assert (found.width, found.height, found.orientation_pending) == (10, 20, "6")
    assert examine(saved(RED.convert("L"), "JPEG")).mode == "L"


def test_an_unusable_file_is_a_result(lesion):
    found = examine_all([b"", encode_png(lesion), encode_png(lesion)[:-300]])
    assert len(found) == 3
    columns = dict(found.columns)
    problems = columns.pop("decode_problem")
    assert (problems[0][:5], problems[1], problems[2][:9]) == ("empty", None, "truncated")
    assert all(value[0] is None or np.isnan(value[0]) for value in columns.values())
    sound = examine(encode_png(lesion))
    assert len(found.fingerprints) == 1
    assert (found.fingerprints.tolist(), columns["contrast"][1]) == (sound.prints, sound.contrast)


def test_sharpness_falls_with_blur_and_not_with_size(lesion):
    sharp = sharpness(lesion)
    blurred = [sharpness(lesion.filter(ImageFilter.GaussianBlur(share * 256))) for share in (0.01, 0.02, 0.04)]
    assert sharp > 10 > blurred[0] > blurred[1] > blurred[2]
    assert blurred[1] < 5
    for side in (128, 200, 384, 640):
        assert sharpness(lesion.resize((side, side), Image.Resampling.LANCZOS)) == pytest.approx(sharp, rel=0.25)
    assert sharpness(Image.new("RGB", (300, 200), "red")) == 0
    assert sharpness(Image.new("RGB", (1, 1))) == 0
    tiny = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    assert sharpness(Image.fromarray(tiny)) < 8


def test_what_is_measured_does_not_depend_on_the_files_beside(lesion):
    files = [encode_png(lesion.resize((size, 300))) for size in range(200, 240)]
    together, alone = examine_all(files), [examine_all([data]) for data in files]
    for name in EXAMINED:
        assert together.columns[name].tolist() == [one.columns[name][0] for one in alone]


def test_the_rim_of_a_dermatoscope_is_measured_and_dark_lesions_are_not():
    image = Image.new("L", (320, 320), "black")
    ImageDraw.Draw(image).ellipse((0, 0, 319, 319), fill=180)
    ImageDraw.Draw(image).ellipse((120, 120, 200, 200), fill=10)
    light = np.asarray(image.resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    right = np.full((64, 64), 200, dtype=np.float32)
    right[:, 32:] = 0
    shares = vignette_share(np.stack([np.full_like(light, 200), light, right, 200 - right, np.zeros_like(light)]))
    assert shares == pytest.approx([0, 1 - np.pi / 4, 0.5, 0.5, 1], abs=0.03)
    assert (shares[0], *shares[2:]) == (0, 0.5, 0.5, 1)


def test_an_image_file_has_the_vignette_that_is_drawn_in_it(lesion):
    drawn = lesion.resize((320, 240))
    ImageDraw.Draw(drawn).rectangle((200, 0, 319, 239), fill="black")
    ImageDraw.Draw(drawn).line((0, 0, 319, 0), fill="white")
    assert examine(saved(drawn, "JPEG", quality=95)).vignette_share == pytest.approx(120 / 320, abs=0.03)


def test_what_is_dark_counts_where_it_is_joined_to_a_corner():
    small = np.random.default_rng(0).integers(0, 90, (200, 32, 32)).astype(np.float32)
    light = small.repeat(2, axis=1).repeat(2, axis=2)
    labels = [label(picture < 48)[0] for picture in small]
    corners = [{int(corner) for corner in one[::31, ::31].ravel()} - {0} for one in labels]
    expected = [np.isin(one, list(joined)).mean() for one, joined in zip(labels, corners, strict=True)]
    assert np.ptp(expected) > 0.3
    assert vignette_share(light) == pytest.approx(expected, abs=1e-9)
    assert vignette_share(light[:0]).shape == (0,)
    with pytest.raises(ValueError, match="64 x 64"):
        vignette_share(small)


@pytest.mark.parametrize("side", [100, 256, 384, 1024])
def test_a_jpeg_and_its_pixels_in_another_file_look_alike(lesion, side):
    jpeg = saved(lesion.resize((side, side * 3 // 4), Image.Resampling.LANCZOS), "JPEG", quality=90)
    found, again = (examine(data) for data in (jpeg, saved(decode(jpeg), "PNG")))
    assert np.abs(np.subtract(found.prints, again.prints)).max() <= 4
    assert found.sharpness == pytest.approx(again.sharpness, rel=0.1)
    assert found.contrast == pytest.approx(again.contrast, rel=0.02)
    assert (found.width, found.height) == (again.width, again.height) == (side, side * 3 // 4)


def test_pixels_have_one_digest_in_whatever_file_and_memory_they_lie():
    noise = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    kinds = [("PNG", "RGB"), ("BMP", "RGB"), ("TIFF", "RGB"), ("WEBP", "RGB"), ("PNG", "RGBA"), ("TIFF", "RGBX")]
    files = [saved(image.convert(mode), kind, lossless=True) for kind, mode in kinds]
    assert len({pixel_hash(decode(data)) for data in files}) == 1
    large = Image.fromarray(np.resize(noise, (2100, 2000, 3)))  # lies in several blocks
    same, other = large.copy(), large.copy()
    other.putpixel((1999, 2099), (1, 2, 3))
    assert pixel_hash(same) == pixel_hash(large) != pixel_hash(other)
