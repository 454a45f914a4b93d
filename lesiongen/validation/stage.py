"""The validation stage: is a dataset fit to train on and to be judged by."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lesiongen.dataset import Dataset
from lesiongen.reporting import render
from lesiongen.storage import Storage, open_storage
from lesiongen.tracking import StageRun, stage_run
from lesiongen.validation.checks import class_checks, row_checks
from lesiongen.validation.classes import check_classes, class_counts
from lesiongen.validation.columns import measured_table
from lesiongen.validation.config import ValidateConfig
from lesiongen.validation.findings import Finding, ValidationResult
from lesiongen.validation.report import flagged_pictures, report_page
from lesiongen.validation.suite import run_suite

__all__ = ["JSON_NAME", "REPORT_NAME", "validate"]

REPORT_NAME = "report.html"
JSON_NAME = "validation.json"
_ORDER = ("error", "warning", "info")


def validate(config: ValidateConfig, dataset_uri: str, report: str | None = None) -> ValidationResult:
    """Checks the metadata, every image, and the rows against one another.

    Args:
        config: Bounds and severities.
        dataset_uri: The dataset.
        report: Folder or prefix that gets report.html and validation.json; an address that ends in ``.html`` names
            the page itself, and validation.json goes beside it.

    Returns:
        The findings; a dataset with errors is a result, not an exception (`require_passed` makes it one).

    Raises:
        StorageError: There is no dataset.
        DataError: The dataset was changed after it was published.
    """
    dataset = Dataset.open(dataset_uri)
    with stage_run("validate", {**config.model_dump(), "dataset": dataset.uri}) as run:
        checks = row_checks(config)
        table = measured_table(dataset)
        found = [*run_suite(checks, table), *check_classes(config, table)]
        findings = sorted(found, key=lambda finding: _ORDER.index(finding.severity))
        passed = not any(finding.severity == "error" for finding in findings)
        counts = class_counts(table).to_dict(orient="index")
        summary = _summary(dataset, passed, findings) | {"images": counts}
        pictures = flagged_pictures(dataset, findings, allow_real_images=config.allow_real_images)
        made = [*((check.name, check.column) for check in checks), *((name, "split") for name in class_checks(config))]
        page = render(report_page(dataset, table, made, findings, pictures))
        address = _write(report, page, summary) if report else None
        _track(run, page, summary)
    return ValidationResult(passed, findings, dataset.reference(), address)


def _summary(dataset: Dataset, passed: bool, findings: list[Finding]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "passed": passed,
        "dataset": dataset.reference().model_dump(),
        "findings": [asdict(finding) for finding in findings],
    }


def _write(report: str, page: str, summary: dict[str, Any]) -> str:
    storage, name = _place(report)
    storage.write_json(JSON_NAME, summary)
    storage.write_text(name, page)
    return f"{storage.uri}/{name}"


def _place(report: str) -> tuple[Storage, str]:
    if not report.endswith(".html"):
        return open_storage(report), REPORT_NAME
    folder, _, name = report.rpartition("/")
    return open_storage(folder or "."), name


def _track(run: StageRun, page: str, summary: dict[str, Any]) -> None:
    severities = [finding["severity"] for finding in summary["findings"]]
    run.log_metrics({f"{name}_findings": severities.count(name) for name in _ORDER} | {"passed": summary["passed"]})
    run.log_json(summary, JSON_NAME)
    if run.run_id:
        with tempfile.TemporaryDirectory(prefix="lesiongen-") as folder:
            path = Path(folder) / REPORT_NAME
            path.write_text(page, encoding="utf-8")
            run.log_file(path)
