"""Handing synthetic images on: image files that say how they were made, a table, a card, a licence, checksums."""

from lesiongen.exporting.config import ExportConfig
from lesiongen.exporting.stage import ExportResult, export

__all__ = ["ExportConfig", "ExportResult", "export"]
