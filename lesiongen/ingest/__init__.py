"""Ingest: one reader for each public collection, one dataset format out."""

from lesiongen.ingest.config import FORMATS, IngestConfig
from lesiongen.ingest.rejections import REJECTED_NAME
from lesiongen.ingest.rows import Rejection
from lesiongen.ingest.stage import IngestResult, ingest

__all__ = ["FORMATS", "REJECTED_NAME", "IngestConfig", "IngestResult", "Rejection", "ingest"]
