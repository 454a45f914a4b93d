"""The checks of rows as a great_expectations suite."""

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lesiongen.errors import DataError
from lesiongen.validation.checks import Check
from lesiongen.validation.findings import Finding

__all__ = ["run_suite"]

_ROW = "row_number"
_SEVERITIES = {"error": "critical", "warning": "warning", "info": "info"}


def run_suite(checks: Sequence[Check], table: pd.DataFrame) -> list[Finding]:
    """Runs the checks over a table in an ephemeral context, and returns one finding for each that failed.

    Raises:
        DataError: A check could not be run on its column.
    """
    used = list(dict.fromkeys(check.column for check in checks))
    frame = table[used].assign(**{_ROW: range(len(table))})
    # Two checks may be of one kind and column; the position says which result belongs to which.
    results = _validate(checks, frame).results
    by_position = {result.expectation_config.meta["position"]: result for result in results}
    findings = (_finding(check, by_position[position], table) for position, check in enumerate(checks))
    return [finding for finding in findings if finding is not None]


def _validate(checks: Sequence[Check], frame: pd.DataFrame) -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported
    with warnings.catch_warnings():
        # It imports standard modules that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("dataset").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite("dataset", expectations=[_expectation(gx, *item) for item in enumerate(checks)])
    complete = {"result_format": "COMPLETE", "unexpected_index_column_names": [_ROW]}
    return batch.validate(suite, result_format=complete)


def _expectation(gx: Any, position: int, check: Check) -> Any:
    kinds = {
        "present": gx.expectations.ExpectColumnValuesToNotBeNull,
        "absent": gx.expectations.ExpectColumnValuesToBeNull,
        "unique": gx.expectations.ExpectColumnValuesToBeUnique,
        "in_set": gx.expectations.ExpectColumnValuesToBeInSet,
        "between": gx.expectations.ExpectColumnValuesToBeBetween,
    }
    return kinds[check.kind](
        column=check.column,
        severity=_SEVERITIES[check.severity],
        meta={"check": check.name, "position": position},
        **check.arguments,
    )


def _finding(check: Check, result: Any, table: pd.DataFrame) -> Finding | None:
    if result.exception_info.get("raised_exception"):
        raise DataError(f"The check {check.name} cannot be run: {result.exception_info['exception_message']}")
    if result.success:
        return None
    positions = sorted(entry[_ROW] for entry in result.result["unexpected_index_list"])
    failing = table.iloc[positions]
    values = () if check.kind == "present" else tuple(str(value) for value in failing[check.column])
    count = len(positions)
    return Finding(
        severity=check.severity,
        check=check.name,
        message=f"{count:,} images: each {check.message}" if count > 1 else f"1 image {check.message}",
        rows=tuple(str(name) for name in failing["image_id"]),
        values=values,
    )
