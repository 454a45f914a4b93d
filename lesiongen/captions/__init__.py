"""The caption stage: every image gets its report and the caption that is written from it."""

from lesiongen.captions.config import CaptionConfig
from lesiongen.captions.result import CaptionResult
from lesiongen.captions.stage import PREVIEW_NAME, REPORT_NAME, caption

__all__ = ["PREVIEW_NAME", "REPORT_NAME", "CaptionConfig", "CaptionResult", "caption"]
