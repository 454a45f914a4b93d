"""Validation: metadata, images, and rows against one another, before anything is trained on them."""

from lesiongen.validation.checks import CHECK_NAMES
from lesiongen.validation.config import Severity, ValidateConfig
from lesiongen.validation.findings import Finding, ValidationResult, require_passed
from lesiongen.validation.stage import JSON_NAME, REPORT_NAME, validate

__all__ = [
    "CHECK_NAMES",
    "JSON_NAME",
    "REPORT_NAME",
    "Finding",
    "Severity",
    "ValidateConfig",
    "ValidationResult",
    "require_passed",
    "validate",
]
