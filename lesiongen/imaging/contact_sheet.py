"""Many small images on one sheet."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lesiongen.imaging.preprocessing import square

__all__ = ["contact_sheet"]

GAP = 4
CAPTION_HEIGHT = 16
FONT_SIZE = 11
PAPER, INK = "white", "#333333"


def contact_sheet(
    images: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 8,
    tile: int = 96,
) -> Image.Image:
    """Lays images out in rows on white, each cut to its centre square, with a line of text beneath.

    Args:
        images: At least one image.
        captions: One line per image; a line wider than its tile is cut with an ellipsis.
        columns: Images per row.
        tile: Side of a tile in pixels.

    Raises:
        ValueError: No images were given, or the captions are not as many as the images.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} images")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = tile + (CAPTION_HEIGHT if captions is not None else 0)
    sheet = Image.new("RGB", (GAP + columns * (tile + GAP), GAP + rows * (height + GAP)), PAPER)
    for index, image in enumerate(images):
        corner = (GAP + index % columns * (tile + GAP), GAP + index // columns * (height + GAP))
        sheet.paste(square(image, tile), corner)
        if captions is not None:
            _write(sheet, captions[index], (corner[0], corner[1] + tile + 1), tile)
    return sheet


@cache
def _font_file() -> str:
    """Returns a font with the letters of most languages; Pillow's own has those of English."""
    from matplotlib import get_data_path

    return str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


def _write(sheet: Image.Image, text: str, corner: tuple[int, int], width: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(_font_file(), FONT_SIZE)
    # A letter is a pixel wide at least: what lies further behind is cut off in any case.
    line = " ".join(text.split())[: width + 1]
    shown = line
    while shown and draw.textlength(shown, font=font) > width:
        line = line[:-1]
        shown = line.rstrip() + "…" if line else ""
    draw.text(corner, shown, fill=INK, font=font)
