"""The validation stage: is a dataset fit to train on and to be judged by."""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import pandas as pd

from lesiongen.dataset import Dataset
from lesiongen.reporting import render
from lesiongen.storage import Storage, claimed, open_storage
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run
from lesiongen.validation.checks import CANONICAL_CHECKS, resolved
from lesiongen.validation.columns import measured_table
from lesiongen.validation.config import ValidateConfig
from lesiongen.validation.derived import with_format_columns, with_table_columns
from lesiongen.validation.findings import Finding, ValidationResult
from lesiongen.validation.flagged_images import flagged_images
from lesiongen.validation.formats import FORMAT_SUITES, suite_of
from lesiongen.validation.origin import REMOVED, check_origin
from lesiongen.validation.report import JSON_NAME, report_page
from lesiongen.validation.sizes import SIZE_CHECKS, check_sizes, class_counts
from lesiongen.validation.suite import Suite, load_great_expectations, run_suites

__all__ = ["JSON_NAME", "REPORT_NAME", "RESULTS_NAME", "validate"]

REPORT_NAME = "report.html"
RESULTS_NAME = "validation_results.json"
CLAIMED = "_validation"
"""What is claimed while a report is made: nothing below a file's own name, where MinIO lists no objects."""
_ORDER = ("error", "warning", "info")


def validate(config: ValidateConfig, dataset_uri: str, report: str | None = None) -> ValidationResult:
    """Checks the metadata, every image, and the rows against one another; each source by its format's suite too.

    Args:
        config: Bounds and severities.
        dataset_uri: The dataset.
        report: Folder or prefix that gets report.html, validation.json and validation_results.json (what
            great_expectations itself says, by suite); an address that ends in ``.html`` names the page itself, and
            the others go beside it.

    Returns:
        The findings; errors are a result, not an exception (`verdict_of` and `require_passed` make them one).

    Raises:
        UsageError: The address holds no dataset.
        DataError: The dataset was changed after it was published.
    """
    dataset = Dataset.open(dataset_uri)
    if report:
        _place(report)[0].require_writable()
    claim = claimed(_place(report)[0].child(CLAIMED)) if report else nullcontext()
    with claim, stage_run("validate", {**config.model_dump(), "dataset": dataset.uri}) as run:
        with dataset.hashed_ahead():
            load_great_expectations()
            table = with_table_columns(measured_table(dataset))
        suites = _suites(config, table)
        found, results = run_suites(suites)
        found += [*check_sizes(config, table), *check_origin(config, dataset.manifest)]
        findings = sorted(found, key=lambda finding: _ORDER.index(finding.severity))
        images = flagged_images(dataset, findings, allow_real_images=config.allow_real_images)
        page = render(report_page(dataset, table, _made(config, suites), findings, images))
        summary = _summary(dataset, table, findings)
        documents = {JSON_NAME: summary, RESULTS_NAME: results}
        address = _write(report, page, documents) if report else None
        _track(run, page, documents)
    return ValidationResult(summary["passed"], findings, dataset.reference(), address)


def _suites(config: ValidateConfig, table: pd.DataFrame) -> list[Suite]:
    """One suite for the dataset, and one for the real images of each source that has a suite of its own."""
    suites = [Suite("dataset", resolved(CANONICAL_CHECKS, config), table)]
    for source, rows in table[~table["synthetic"].astype(bool)].groupby("source", sort=True):
        if (name := suite_of(str(source))) is not None:
            suite = FORMAT_SUITES[name]
            checks = resolved(suite.checks, config, f"{name}.")
            suites.append(Suite(str(source), checks, with_format_columns(rows, suite.published)))
    return suites


def _made(config: ValidateConfig, suites: list[Suite]) -> list[tuple[str, str]]:
    """Returns name and column of every check that is made."""
    sizes = [(check.name, check.about) for check in SIZE_CHECKS]
    others = [made for made in (*sizes, (REMOVED, "manifest")) if config.severities.get(made[0]) != "off"]
    rows = [(check.name, check.column) for suite in suites for check in suite.checks]
    return list(dict.fromkeys([*rows, *others]))


def _summary(dataset: Dataset, table: pd.DataFrame, findings: list[Finding]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "passed": not any(finding.severity == "error" for finding in findings),
        "dataset": dataset.reference().model_dump(),
        "findings": [asdict(finding) for finding in findings],
        "images": class_counts(table).to_dict(orient="index"),
    }


def _write(report: str, page: str, documents: dict[str, Any]) -> str:
    storage, name = _place(report)
    for document, content in documents.items():
        storage.write_json(document, content)
    storage.write_text(name, page)
    return f"{storage.uri}/{name}"


def _place(report: str) -> tuple[Storage, str]:
    """Returns the storage and the name of the report; a folder has it under `REPORT_NAME`."""
    if not report.endswith(".html"):
        return open_storage(report), REPORT_NAME
    folder, _, name = report.rpartition("/")
    return open_storage(folder or "."), name


def _track(run: StageRun, page: str, documents: dict[str, Any]) -> None:
    summary = documents[JSON_NAME]
    severities = [finding["severity"] for finding in summary["findings"]]
    run.log_metrics({f"{name}_findings": severities.count(name) for name in _ORDER} | {"passed": summary["passed"]})
    for name, content in documents.items():
        run.log_json(content, name)
    if run.run_id:
        with temporary_folder("page") as folder:
            path = folder / REPORT_NAME
            path.write_text(page, encoding="utf-8")
            run.log_file(path)
