"""Ingest: one reader for each public collection, one dataset format out."""

from lesiongen.ingest.config import IngestConfig
from lesiongen.ingest.rejections import LEFT_OUT_NAMES, counted
from lesiongen.ingest.rows import Rejection
from lesiongen.ingest.stage import IngestResult, ingest

__all__ = ["LEFT_OUT_NAMES", "IngestConfig", "IngestResult", "Rejection", "counted", "ingest"]
