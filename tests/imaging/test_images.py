import io
import json

import numpy as np
import pytest
from PIL import Image

from lesiongen.imaging import (
    contact_sheet,
    content_digest,
    decode,
    encode_jpeg,
    encode_png,
    nearest,
    square,
    to_array,
)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_square_takes_the_centre():
    image = Image.new("RGB", (200, 100), "black")
    image.paste("red", (50, 0, 150, 100))
    assert np.asarray(square(image, 64)).reshape(-1, 3).min(axis=0).tolist() == [255, 0, 0]
    assert square(image.rotate(90, expand=True), 64).size == (64, 64)


def test_square_of_a_square_of_that_size_changes_nothing():
    image = noise(64, 64)
    assert square(image, 64).tobytes() == image.tobytes()


def test_to_array_spans_zero_to_one():
    array = to_array(Image.new("RGB", (3, 2), (255, 0, 51)))
    assert array.shape == (2, 3, 3)
    assert array.dtype == np.float32
    assert array[0, 0] == pytest.approx([1.0, 0.0, 0.2])


def test_png_carries_its_metadata_and_is_deterministic():
    metadata = {"image_manipulation": "synthetic", "seed": 7, "prompt": "naïve Läsion ≥ 6 mm"}
    data = encode_png(noise(8, 8), metadata)
    assert data == encode_png(noise(8, 8), metadata)
    with Image.open(io.BytesIO(data)) as image:
        assert image.text["image_manipulation"] == "synthetic"
        assert json.loads(image.text["seed"]) == 7
        assert image.text["prompt"] == metadata["prompt"]


def test_jpeg_carries_no_comment_of_the_image_that_it_was():
    image = Image.new("RGB", (8, 8))
    image.info["comment"] = b"patient 17"
    assert b"patient 17" not in encode_jpeg(image)


def test_jpeg_stays_close():
    smooth = noise(4, 4).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(to_array(decode(encode_jpeg(smooth))) - to_array(smooth)).mean() < 0.02


def test_content_digest_names_the_picture_not_the_file():
    image = noise(9, 7)
    assert content_digest(image) == content_digest(decode(encode_png(image, {"a": "b"})))
    assert content_digest(image) != content_digest(noise(9, 7, seed=1))
    # the same bytes in another shape are another picture
    assert content_digest(Image.new("RGB", (4, 2))) != content_digest(Image.new("RGB", (2, 4)))


def test_contact_sheet_lays_out_rows_and_writes_captions():
    images = [Image.new("RGB", (50, 40), colour) for colour in ("red", "green", "blue")]
    plain = contact_sheet(images, columns=2, tile=32)
    assert plain.size == (4 + 2 * 36, 4 + 2 * 36)
    assert plain.getpixel((4 + 36 + 16, 4 + 16)) == (0, 128, 0)
    named = contact_sheet(images, ["melanoma", "x" * 500, ""], columns=2, tile=32)
    assert named.height == plain.height + 2 * 16
    strip = np.asarray(named)[4 + 32 : 4 + 48]
    assert (strip < 200).any()
    # a long caption stays within its own tile
    assert (strip[:, 4 + 36 + 32 :] == 255).all()


@pytest.mark.parametrize(("images", "captions"), [([], None), ([noise(8, 8)], ["a", "b"])])
def test_contact_sheet_refuses_nonsense(images, captions):
    with pytest.raises(ValueError, match="image"):
        contact_sheet(images, captions, columns=3)


def test_nearest_agrees_with_corrcoef_across_blocks():
    rng = np.random.default_rng(0)
    references = rng.random((2500, 12)).astype(np.float32)
    queries = rng.random((1100, 12)).astype(np.float32)
    indices, similarity = nearest(queries, references)
    expected = np.corrcoef(queries[:50], references)[:50, 50:]
    assert indices[:50].tolist() == expected.argmax(axis=1).tolist()
    assert similarity[:50] == pytest.approx(expected.max(axis=1), abs=1e-5)


def test_nearest_ignores_brightness_and_contrast_and_finds_the_copy():
    references = np.random.default_rng(0).random((30, 50)).astype(np.float32)
    indices, similarity = nearest(references[[7]] * 0.5 + 0.2, references)
    assert indices.tolist() == [7]
    assert similarity[0] == pytest.approx(1.0, abs=1e-5)


def test_a_constant_row_resembles_nothing():
    references = np.random.default_rng(0).random((3, 12288)).astype(np.float32)
    _, similarity = nearest(np.full((1, 12288), 0.7, np.float32), references)
    assert similarity.tolist() == [0.0]


def test_nearest_needs_matching_widths_and_a_reference():
    with pytest.raises(ValueError, match="n x d"):
        nearest(np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="no references"):
        nearest(np.zeros((1, 3), np.float32), np.zeros((0, 3), np.float32))
