"""The caption stage: every image gets its report and the caption that is written from it."""

from lesiongen.captions.config import CaptionConfig
from lesiongen.captions.result import CaptionCounts, CaptionResult
from lesiongen.captions.stage import PAGE_NAME, PREVIEW_NAME, REPORT_NAME, caption, join_captions

__all__ = [
    "PAGE_NAME",
    "PREVIEW_NAME",
    "REPORT_NAME",
    "CaptionConfig",
    "CaptionCounts",
    "CaptionResult",
    "caption",
    "join_captions",
]
