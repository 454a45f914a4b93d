"""Pictures on their way into a page."""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from lesiongen.imaging import encode_jpeg, encode_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_uri", "figure_picture"]

DOTS_PER_INCH = 120


def figure_picture(figure: "Figure") -> Image.Image:
    """Draws a matplotlib figure, sharp on a high-resolution screen, cut to its content."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
    buffer.seek(0)
    with Image.open(buffer) as image:
        return image.convert("RGB")


def data_uri(image: Image.Image) -> str:
    """Returns an image as a data URI: PNG (drawings) or JPEG (photographs), whichever is smaller."""
    png, jpeg = encode_png(image), encode_jpeg(image)
    kind, data = ("png", png) if len(png) <= len(jpeg) else ("jpeg", jpeg)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
