"""Ingest: one reader for each public collection, one dataset format out."""

from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.rejections import LEFT_OUT_NAMES, counted
from lesiongen.ingestion.rows import Rejection
from lesiongen.ingestion.stage import IngestResult, ingest

__all__ = ["LEFT_OUT_NAMES", "IngestConfig", "IngestResult", "Rejection", "counted", "ingest"]
