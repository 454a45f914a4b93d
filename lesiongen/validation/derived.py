"""What a row's metadata mean together, turned into columns that expectations can judge; no pixel is looked at."""

import pandas as pd

from lesiongen.concepts import Report, by_experts, read_report
from lesiongen.concepts.experts import SEVEN_POINT_VALUES
from lesiongen.errors import DataError
from lesiongen.validation.formats import PublishedCounts
from lesiongen.validation.identifiers import with_identifiers

__all__ = ["with_format_columns", "with_table_columns"]

_SEVEN_POINT = {word for _, words in SEVEN_POINT_VALUES.values() for word in words.values()}


def with_table_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Adds what the canonical suite judges beyond the columns that were read from pixels and rows.

    ``skin_tone_without_scale`` holds a recorded skin tone that is on no named scale. ``private_metadata`` is kept for
    real images only: the file of a synthetic image or of a reconstruction says in it how it was made. What ids look
    like is judged by `with_identifiers`.
    """
    return with_identifiers(table).assign(
        skin_tone_without_scale=table["skin_tone"].where(table["skin_tone_scale"].isna(), None),
        private_metadata=table["private_metadata"].where(~table["synthetic"].astype(bool), None),
    )


def with_format_columns(rows: pd.DataFrame, published: PublishedCounts | None) -> pd.DataFrame:
    """Adds what the format suites judge to the rows of one source.

    ``case_lacks_image``, ``outside_seven_point``, ``without_expert_statement`` and ``published_problem`` hold, where
    filled, what is wrong.
    """
    reports = [_report(text) for text in rows["concepts"]]
    return rows.assign(
        case_lacks_image=_case_lacks_image(rows),
        outside_seven_point=pd.Series([_outside(report) for report in reports], rows.index, dtype=object),
        without_expert_statement=pd.Series([_unstated(report) for report in reports], rows.index, dtype=object),
        published_problem=_published_problem(rows, published),
    )


def _report(concepts: str | None) -> Report:
    try:
        return by_experts(read_report(concepts))
    except DataError:  # concepts_readable says so
        return Report()


def _outside(report: Report) -> str | None:
    words = report.patterns.value if report.patterns else ()
    return ", ".join(word for word in words if word not in _SEVEN_POINT) or None


def _unstated(report: Report) -> str | None:
    return None if any(True for _ in report.entries()) or report.description else "nothing"


def _case_lacks_image(rows: pd.DataFrame) -> pd.Series:
    """Names the type of image that a row's case has alone, where the rows hold both types."""
    types = rows.groupby("case_id", dropna=False)["image_type"].transform("nunique")
    alone = (types == 1) & (rows["image_type"].nunique() > 1) & rows["case_id"].notna()
    return ("only " + rows["image_type"].astype(object)).where(alone, None)


def _published_problem(rows: pd.DataFrame, published: PublishedCounts | None) -> pd.Series:
    nothing = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    if published is None:
        return nothing
    units = rows.drop_duplicates(published.unit)
    if len(units) != published.total:
        return nothing
    counts = units[published.column].value_counts(dropna=False)
    wrong = {value: f"{count:,}, published {published.counts.get(str(value), 0):,}" for value, count in counts.items()
             if count != published.counts.get(str(value), 0)}  # fmt: skip
    problem = rows[published.column].map(wrong)
    return problem.astype(object).where(problem.notna(), None)
