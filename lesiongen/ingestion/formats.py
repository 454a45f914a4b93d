"""The collections that can be read, and the reader of each."""

from lesiongen.errors import UsageError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers.ddi import DdiReader
from lesiongen.ingestion.readers.derm7pt import Derm7ptReader
from lesiongen.ingestion.readers.fitzpatrick17k import Fitzpatrick17kReader
from lesiongen.ingestion.readers.ham10000 import Ham10000Reader
from lesiongen.ingestion.readers.image_folder import ImageFolderReader
from lesiongen.ingestion.readers.isic import IsicReader
from lesiongen.ingestion.readers.isic2016 import Isic2016Reader
from lesiongen.ingestion.readers.isic2024 import Isic2024Reader
from lesiongen.ingestion.readers.milk10k import Milk10kReader
from lesiongen.ingestion.readers.pad_ufes_20 import PadUfes20Reader
from lesiongen.ingestion.readers.skincap import SkincapReader
from lesiongen.ingestion.rows import Reader

__all__ = ["FORMATS", "reader_for"]

FORMATS: dict[str, type[Reader]] = {
    "ham10000": Ham10000Reader,
    "isic": IsicReader,
    "isic2016": Isic2016Reader,
    "isic2024": Isic2024Reader,
    "milk10k": Milk10kReader,
    "derm7pt": Derm7ptReader,
    "fitzpatrick17k": Fitzpatrick17kReader,
    "ddi": DdiReader,
    "pad_ufes_20": PadUfes20Reader,
    "skincap": SkincapReader,
    "image_folder": ImageFolderReader,
}
"""A reader for each `FormatName`, in the order in which they are listed."""
_OWN_WORDS = ("columns", "source_name", "licence", "attribution")


def reader_for(config: IngestConfig) -> Reader:
    """Returns the reader that a configuration asks for.

    Raises:
        UsageError: The configuration says something that the format has no use for.
    """
    for name in _OWN_WORDS:
        if getattr(config, name) and config.format != "image_folder":
            raise UsageError(f"The option {name} is for the format image_folder, not for {config.format}")
    return FORMATS[config.format](config)
