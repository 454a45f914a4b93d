"""The validation report as a page."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from lesiongen.dataset import Dataset
from lesiongen.dataset.kept import EXAMINATIONS
from lesiongen.imaging import contact_sheet
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text
from lesiongen.validation.findings import Finding
from lesiongen.validation.flagged_images import SHOWN, FlaggedImages, linked_images, shows_groups
from lesiongen.validation.named_checks import ALL_CHECKS
from lesiongen.validation.sizes import CHECKED_SUBGROUPS, class_counts, counted, lesion_counts, subgroup_table

__all__ = ["JSON_NAME", "report_page"]

JSON_NAME = "validation.json"
LISTED = 20
NAMED_PARTS = 4
TILE = 144
_UNITS = {
    "image_sharp": "variance of the Laplacian, grey levels²",
    "image_not_blank": "standard deviation, grey levels",
    "image_large_enough": "shorter side, pixels",
    "image_without_vignette": "share of the image",
    "age_in_range": "age, years",
}
"""What the values of a check are, and their units."""
_FINDS = {check.name: check.finds.removesuffix(".") for check in ALL_CHECKS}


def report_page(
    dataset: Dataset,
    table: pd.DataFrame,
    checks: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    images: FlaggedImages,
) -> Page:
    """Lays out the outcome, the findings with their images, the counts, and the checks that were made.

    Args:
        dataset: What was checked.
        table: Its metadata with the derived columns.
        checks: Name and column of every check.
        findings: The most severe first.
        images: Images that may be shown.
    """
    page = Page(f"Validation of {dataset.manifest.name}", f"{dataset.uri} · version {dataset.manifest.version[:12]}")
    page.add(Section("Result", _result(table, findings)))
    # The first section has named all of a short finding already.
    for finding in (one for one in findings if one.rows or len(one.parts) > NAMED_PARTS):
        title = f"{finding.severity.capitalize()}: {_FINDS[finding.check]}"
        page.add(Section(title, _details(finding, images), finding.check))
    page.add(Section("Classes", _classes(table)))
    page.add(Section("Subgroups", _subgroups(table)))
    page.add(Section("Checks", [_checks(checks, findings)]))
    return page


def _result(table: pd.DataFrame, findings: Sequence[Finding]) -> list[Block]:
    counts = pd.Series([finding.severity for finding in findings], dtype=object).value_counts()
    errors, warnings = int(counts.get("error", 0)), int(counts.get("warning", 0))
    verdict = (
        Callout("error", f"Failed: {errors} {'check' if errors == 1 else 'checks'} found errors.")
        if errors
        else Callout("good", "Passed: no check found an error.")
    )
    facts = {
        "images": len(table),
        "lesions": _distinct(table, "lesion_id"),
        "patients": _distinct(table, "patient_id"),
        "sources": _distinct(table, "source"),
        "errors": errors,
        "warnings": warnings,
        "images decoded": int((~table["from_kept"]).sum()),
        f"images looked up in {EXAMINATIONS.name}": int(table["from_kept"].sum()),
    }
    rows = [[finding.severity, _in_short(finding), finding.check] for finding in findings]
    return [verdict, Facts(facts), *([Table(["severity", "what", "check"], rows)] if rows else [])]


def _in_short(finding: Finding) -> str:
    if not finding.parts:
        return finding.message
    more = len(finding.parts) - NAMED_PARTS
    named = "; ".join(finding.parts[:NAMED_PARTS]) + (f"; and {more} more" if more > 0 else "")
    return f"{finding.message}: {named}"


def _distinct(table: pd.DataFrame, column: str) -> int | None:
    return int(table[column].nunique()) or None


def _details(finding: Finding, images: FlaggedImages) -> list[Block]:
    kind = {"error": "error", "warning": "warning"}.get(finding.severity, "info")
    blocks: list[Block] = [Callout(kind, finding.message), *_shown_images(finding, images)]  # type: ignore[arg-type]
    if finding.parts:
        return [*blocks, Table(["found"], [[part] for part in finding.parts[:LISTED]], _first(len(finding.parts)))]
    columns = [finding.rows[:LISTED], *([finding.values[:LISTED]] if finding.values else [])]
    heads = ["image", _UNITS.get(finding.check, "found")][: len(columns)]
    listed = Table(heads, list(zip(*columns, strict=True)), _first(len(finding.rows)))
    remedy = [Text(finding.remedy)] if finding.remedy else []
    return [*blocks, *_values(finding), listed, *remedy]


def _values(finding: Finding) -> Iterator[Block]:
    """Counts what was found, where few values account for many rows: a misspelt label, a shifted column."""
    counts = pd.Series(finding.values, dtype=object).value_counts()
    if len(finding.rows) > LISTED and len(counts) <= len(finding.rows) / 2:
        rows = [[value, int(count)] for value, count in counts.head(LISTED).items()]
        yield Table(["found", "images"], rows, _first(len(counts)))


def _first(count: int) -> str:
    return f"The first {LISTED} of {count:,}; {JSON_NAME} lists all" if count > LISTED else ""


def _shown_images(finding: Finding, images: FlaggedImages) -> list[Block]:
    if not finding.rows:
        return []
    shown = list(_groups(finding, images) if shows_groups(finding) else _sheet(finding, images))
    return shown or [Text("The images are left out: they may show real patients.")]


def _sheet(finding: Finding, images: FlaggedImages) -> Iterator[Block]:
    rows = [row for row in finding.rows[:SHOWN] if row in images.thumbnails]
    if rows:
        sheet = contact_sheet([images.thumbnails[row] for row in rows], rows, columns=6, tile=TILE)
        yield Figure(sheet, f"The first {len(rows)} images of this finding")


def _groups(finding: Finding, images: FlaggedImages) -> Iterator[Block]:
    for group in linked_images(finding):
        names = [name for name in group if name in images.thumbnails]
        if names:
            labels = [images.labels[name] for name in names]
            sheet = contact_sheet([images.thumbnails[name] for name in names], labels, columns=4, tile=TILE)
            yield Figure(sheet, " beside ".join(names), " · ".join(names))


def _classes(table: pd.DataFrame) -> list[Block]:
    images, lesions = class_counts(table), lesion_counts(table)
    columns = ["diagnosis", *images.columns, "all"]
    return [
        Table(columns, _with_totals(images), "Images"),
        Table(columns, _with_totals(lesions), "Lesions or patients (images that belong together count once)"),
    ]


def _with_totals(counts: pd.DataFrame) -> list[list[object]]:
    rows: list[list[object]] = [[name, *map(int, row), int(row.sum())] for name, row in counts.iterrows()]
    return [*rows, ["all", *map(int, counts.sum()), int(counts.to_numpy().sum())]]


def _subgroups(table: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    table = subgroup_table(table)
    columns = (*CHECKED_SUBGROUPS, "site")
    for column in columns:
        if table[column].notna().any():
            counts = counted(table.assign(**{column: table[column].fillna("not recorded")}), column)
            heads = [column.replace("_", " "), *counts.columns, "all"]
            blocks.append(Table(heads, _with_totals(counts)[:-1]))
    absent = [column.replace("_", " ") for column in columns if table[column].isna().all()]
    return [*blocks, *([Text(f"Not recorded at all: {', '.join(absent)}.")] if absent else [])]


def _checks(checks: Sequence[tuple[str, str]], findings: Sequence[Finding]) -> Table:
    found: Mapping[str, Finding] = {finding.check: finding for finding in findings}
    rows = [[name, column, found[name].severity if name in found else "passed"] for name, column in checks]
    return Table(["check", "column", "outcome"], rows)
