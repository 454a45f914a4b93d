"""Images within a page: coded so that they take the least room."""

import numpy as np
from PIL import Image

from lesiongen.reporting.images import data_uri


def test_a_drawing_is_coded_without_loss():
    drawing = Image.new("RGB", (120, 80), "white")
    drawing.paste("navy", (20, 10, 60, 70))
    assert data_uri(drawing).startswith("data:image/png;base64,")


def test_a_photograph_is_coded_as_jpeg_alone(monkeypatch):
    grain = np.random.default_rng(0).integers(100, 200, (150, 150, 3), dtype=np.uint8)
    monkeypatch.setattr("lesiongen.reporting.images.encode_png", None)
    assert data_uri(Image.fromarray(grain)).startswith("data:image/jpeg;base64,")


def test_of_few_colours_the_smaller_coding_is_taken():
    grain = np.random.default_rng(0).integers(100, 120, (150, 150), dtype=np.uint8)
    assert data_uri(Image.fromarray(grain).convert("RGB")).startswith("data:image/jpeg;base64,")
