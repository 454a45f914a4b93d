"""Handing synthetic images on: image files that say how they were made, a table, a card, a licence, checksums."""

from lesiongen.export.config import ExportConfig
from lesiongen.export.stage import ExportResult, export

__all__ = ["ExportConfig", "ExportResult", "export"]
