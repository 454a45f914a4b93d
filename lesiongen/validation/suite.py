"""The checks of rows as great_expectations suites."""

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lesiongen.errors import DataError
from lesiongen.validation.checks import Check
from lesiongen.validation.deferred_imports import deferred_imports
from lesiongen.validation.findings import Finding

__all__ = ["Suite", "load_great_expectations", "run_suites"]

VALUE_LENGTH = 200
_RARELY_USED = ("altair", "jsonschema", "scipy.stats")
"""What great_expectations imports for expectations that are not made here: half of the time that it takes."""
_ROW = "row_number"
_SEVERITIES = {"error": "critical", "warning": "warning", "info": "info"}
# Without the query: it repeats every row number once more, as a text.
_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": [_ROW],
    "return_unexpected_index_query": False,
}


@dataclass(frozen=True)
class Suite:
    """Checks, and the rows that they judge: all of a dataset, or those of one source."""

    name: str
    checks: Sequence[Check]
    table: pd.DataFrame


def run_suites(suites: Sequence[Suite]) -> tuple[list[Finding], dict[str, Any]]:
    """Runs suites in one ephemeral context, each over one batch.

    Returns:
        One finding for each check that failed, and great_expectations' own JSON result document of each suite.

    Raises:
        DataError: A check could not be run, for example because its column does not exist.
    """
    gx = load_great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("dataset")
    findings: list[Finding] = []
    documents: dict[str, Any] = {}
    for suite in suites:
        with _without_collection():
            result = _validate(gx, source, suite)
            findings += _findings(suite, result)
            documents[suite.name] = result.to_json_dict()
    return findings, documents


def load_great_expectations() -> Any:
    """Imports great_expectations, which takes seconds, without its analytics."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported
    with warnings.catch_warnings(), _without_collection(), deferred_imports(*_RARELY_USED):
        # It imports standard modules that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    return gx


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collects no garbage meanwhile: the block leaves little, and looking for it is a fifth of what it does."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _validate(gx: Any, source: Any, suite: Suite) -> Any:
    used = list(dict.fromkeys(check.column for check in suite.checks))
    if missing := [check for check in suite.checks if check.column not in suite.table]:
        raise DataError(f"The check {missing[0].name} cannot be run: missing column {missing[0].column}")
    # In front: great_expectations looks for it among the columns once for each row that fails.
    frame = suite.table[used].copy()
    frame.insert(0, _ROW, range(len(frame)))
    asset = source.add_dataframe_asset(suite.name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    expectations = [_expectation(gx, position, check) for position, check in enumerate(suite.checks)]
    return batch.validate(gx.ExpectationSuite(suite.name, expectations=expectations), result_format=_FORMAT)


def _expectation(gx: Any, position: int, check: Check) -> Any:
    kinds = {
        "present": gx.expectations.ExpectColumnValuesToNotBeNull,
        "absent": gx.expectations.ExpectColumnValuesToBeNull,
        "unique": gx.expectations.ExpectColumnValuesToBeUnique,
        "in_set": gx.expectations.ExpectColumnValuesToBeInSet,
        "between": gx.expectations.ExpectColumnValuesToBeBetween,
    }
    # Two checks may be of one kind and column; the position says which result belongs to which.
    return kinds[check.kind](
        column=check.column,
        severity=_SEVERITIES[check.severity],
        description=f"No image {check.message}.",
        notes=check.why,
        meta={"check": check.name, "position": position},
        **check.arguments,
    )


def _findings(suite: Suite, result: Any) -> list[Finding]:
    by_position: Mapping[int, Any] = {one.expectation_config.meta["position"]: one for one in result.results}
    found = [_finding(check, by_position[position], suite) for position, check in enumerate(suite.checks)]
    return [finding for finding in found if finding is not None]


def _finding(check: Check, result: Any, suite: Suite) -> Finding | None:
    if result.exception_info.get("raised_exception"):
        raise DataError(f"The check {check.name} cannot be run: {result.exception_info['exception_message']}")
    if result.success:
        return None
    positions = sorted(entry[_ROW] for entry in result.result["unexpected_index_list"])
    failing = suite.table.iloc[positions]
    values = () if check.kind == "present" else tuple(_short(value) for value in failing[check.column])
    count = len(positions)
    return Finding(
        severity=check.severity,
        check=check.name,
        message=_counted(count, check.message),
        rows=tuple(str(name) for name in failing["image_id"]),
        values=values,
        remedy=check.remedy,
    )


def _counted(count: int, message: str) -> str:
    if count == 1:
        return f"1 image {message}"
    # What is absent is absent from all of them alike; of other things each image has its own.
    lack = message.removeprefix("has no ")
    return f"{count:,} images have no {lack}" if lack != message else f"{count:,} images: each {message}"


def _short(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
