"""Validation: metadata, images, and rows against one another, before anything is trained on them."""

from lesiongen.validation.config import Severity, ValidateConfig
from lesiongen.validation.findings import Finding, ValidationResult, Verdict, require_passed, verdict_of
from lesiongen.validation.policy import ALL_CHECKS, CHECK_NAMES, default_policy
from lesiongen.validation.stage import JSON_NAME, REPORT_NAME, RESULTS_NAME, validate

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
    "default_policy",
    "Verdict",
    "require_passed",
    "validate",
    "verdict_of",
]
