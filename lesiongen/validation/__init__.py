"""Validation: metadata, images, and rows against one another, before anything is trained on them."""

from lesiongen.records.verdict import Verdict, require_passed
from lesiongen.validation.config import ValidateConfig, default_checks
from lesiongen.validation.findings import Finding, ValidationResult, verdict_of
from lesiongen.validation.named_checks import ALL_CHECKS, CHECK_NAMES
from lesiongen.validation.stage import JSON_NAME, REPORT_NAME, RESULTS_NAME, validate
from lesiongen.validation.thresholds import Severity

__all__ = [
    "ALL_CHECKS",
    "CHECK_NAMES",
    "JSON_NAME",
    "REPORT_NAME",
    "RESULTS_NAME",
    "Finding",
    "Severity",
    "ValidateConfig",
    "ValidationResult",
    "Verdict",
    "default_checks",
    "require_passed",
    "validate",
    "verdict_of",
]
