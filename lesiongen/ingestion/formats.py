"""The collections that can be read, and the reader of each."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from lesiongen.errors import UsageError

if TYPE_CHECKING:
    from lesiongen.ingestion.config import IngestConfig
    from lesiongen.ingestion.rows import Reader

__all__ = ["FORMATS", "reader_class", "reader_for"]

FORMATS: Mapping[str, str] = {
    "ham10000": "ham10000:Ham10000Reader",
    "isic": "isic:IsicReader",
    "isic2016": "isic2016:Isic2016Reader",
    "isic2024": "isic2024:Isic2024Reader",
    "milk10k": "milk10k:Milk10kReader",
    "derm7pt": "derm7pt:Derm7ptReader",
    "fitzpatrick17k": "fitzpatrick17k:Fitzpatrick17kReader",
    "ddi": "ddi:DdiReader",
    "pad_ufes_20": "pad_ufes_20:PadUfes20Reader",
    "skincap": "skincap:SkincapReader",
    "image_folder": "image_folder:ImageFolderReader",
}
"""The reader of each format as ``module:class`` in the folder ``readers``, in the order in which formats are listed."""
_OWN_WORDS = ("columns", "source_name", "licence", "attribution")


def reader_class(name: str) -> "type[Reader]":
    """Returns the reader of a format."""
    module, _, kind = FORMATS[name].partition(":")
    found: type[Reader] = getattr(import_module(f"lesiongen.ingestion.readers.{module}"), kind)
    return found


def reader_for(config: "IngestConfig") -> "Reader":
    """Returns the reader that a configuration asks for.

    Raises:
        UsageError: The configuration says something that the format has no use for.
    """
    for name in _OWN_WORDS:
        if getattr(config, name) and config.format != "image_folder":
            raise UsageError(f"The option {name} is for the format image_folder, not for {config.format}")
    return reader_class(config.format)(config)
