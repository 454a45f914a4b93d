"""The pixels of an image in memory, as Pillow holds them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

__all__ = ["pixels"]


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Returns the pixels of an image, not copied unless it is large; not to be written to.

    Args:
        image: Of mode ``L`` or ``RGB``.

    Returns:
        uint8 [height, width], or [height, width, 4] of an RGB image, whose fourth byte is 255.
    """
    shape = (image.height, image.width, *((4,) if image.mode == "RGB" else ()))
    try:
        array = pa.array(image)
    except ValueError:  # a large image lies in several blocks
        return np.frombuffer(image.tobytes("raw", "RGBX" if image.mode == "RGB" else "L"), dtype=np.uint8).reshape(
            shape
        )
    return np.frombuffer((array.values if image.mode == "RGB" else array).buffers()[1], dtype=np.uint8).reshape(shape)
