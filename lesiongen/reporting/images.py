"""Images on their way into a page."""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from lesiongen.imaging import encode_jpeg, encode_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_uri", "figure_image"]

DOTS_PER_INCH = 120
DRAWN_COLOURS = 8192
"""Colours of which a drawing has no more, its smooth edges included."""


def figure_image(figure: "Figure") -> Image.Image:
    """Draws a matplotlib figure, sharp on a high-resolution screen, cut to its content."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
    buffer.seek(0)
    with Image.open(buffer) as image:
        return image.convert("RGB")


def data_uri(image: Image.Image) -> str:
    """Returns an image as a data URI: JPEG (photographs), or PNG (drawings) where that is smaller."""
    kind, data = "jpeg", encode_jpeg(image)
    # Of a photograph PNG is hardly ever the smaller one, and it takes more than ten times as long.
    if image.getcolors(DRAWN_COLOURS) and len(png := encode_png(image)) <= len(data):
        kind, data = "png", png
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
