"""The merge stage: several datasets become one, and what they share is found."""

from lesiongen.merging.config import MergeConfig
from lesiongen.merging.stage import PAGE_NAME, REPORT_NAME, MergeResult, merge

__all__ = ["PAGE_NAME", "REPORT_NAME", "MergeConfig", "MergeResult", "merge"]
