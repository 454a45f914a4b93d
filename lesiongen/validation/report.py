"""The validation report as a page."""

from collections.abc import Mapping, Sequence

import pandas as pd
from PIL import Image

from lesiongen.dataset import Dataset, is_synthetic
from lesiongen.imaging import ImageError, contact_sheet, decode
from lesiongen.reporting import Block, Callout, Facts, Page, Picture, Section, Table, Text
from lesiongen.validation.classes import class_counts, lesion_counts
from lesiongen.validation.findings import Finding

__all__ = ["flagged_pictures", "report_page"]

SHOWN = 24
LISTED = 50
SUBGROUPS = ("sex", "skin_tone", "measured_tone", "image_type", "site")
UNSEEN = Image.new("RGB", (32, 32), "#777777")


def flagged_pictures(
    dataset: Dataset, findings: Sequence[Finding], *, allow_real_images: bool
) -> dict[str, Image.Image]:
    """Returns pictures of the first rows of each finding by image_id; grey where an image cannot be decoded."""
    wanted = {row for finding in findings for row in finding.rows[:SHOWN]}
    pictures: dict[str, Image.Image] = {}
    if not wanted:
        return pictures
    for sample in dataset.samples():
        if sample.image_id in wanted and (allow_real_images or is_synthetic(sample.provenance)):
            try:
                pictures[sample.image_id] = decode(sample.image).copy()
                pictures[sample.image_id].thumbnail((192, 192))
            except ImageError:
                pictures[sample.image_id] = UNSEEN
    return pictures


def report_page(
    dataset: Dataset,
    table: pd.DataFrame,
    checks: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    pictures: Mapping[str, Image.Image],
) -> Page:
    """Lays out the outcome, the findings with their images, the counts, and the checks that were made.

    Args:
        dataset: What was checked.
        table: Its metadata with the derived columns.
        checks: Name and columns of every check.
        findings: The most severe first.
        pictures: Images that may be shown, by image_id.
    """
    page = Page(f"Validation of {dataset.manifest.name}", f"{dataset.uri} · version {dataset.manifest.version[:12]}")
    page.add(Section("Result", _result(table, findings)))
    for finding in findings:
        if finding.rows:
            page.add(Section(finding.check.replace("_", " ").capitalize(), _details(finding, pictures)))
    page.add(Section("Classes", _classes(table)))
    page.add(Section("Patients and images", _subgroups(table)))
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
        "errors": errors,
        "warnings": warnings,
    }
    rows = [[finding.severity, finding.message, finding.check] for finding in findings]
    return [verdict, Facts(facts), *([Table(["severity", "what", "check"], rows)] if rows else [])]


def _distinct(table: pd.DataFrame, column: str) -> int | None:
    return int(table[column].nunique()) or None


def _details(finding: Finding, pictures: Mapping[str, Image.Image]) -> list[Block]:
    kind = {"error": "error", "warning": "warning"}.get(finding.severity, "info")
    blocks: list[Block] = [Callout(kind, finding.message)]  # type: ignore[arg-type]
    shown = [row for row in finding.rows[:SHOWN] if row in pictures]
    if shown:
        sheet = contact_sheet([pictures[row] for row in shown], shown, columns=6, tile=144)
        blocks.append(Picture(sheet, f"The first {len(shown)} images of this finding"))
    elif finding.rows:
        blocks.append(Text("The images are left out: they may show real patients."))
    values = finding.values or (None,) * len(finding.rows)
    rows = list(zip(finding.rows[:LISTED], values[:LISTED], strict=True))
    more = f"The first {LISTED} of {len(finding.rows):,}" if len(finding.rows) > LISTED else ""
    return [*blocks, Table(["image", "found"], rows, more)]


def _classes(table: pd.DataFrame) -> list[Block]:
    images, lesions = class_counts(table), lesion_counts(table)
    columns = ["diagnosis", *images.columns, "all"]
    return [
        Table(columns, _with_totals(images), "Images"),
        Table(columns, _with_totals(lesions), "Lesions (images that belong together count once)"),
    ]


def _with_totals(counts: pd.DataFrame) -> list[list[object]]:
    rows: list[list[object]] = [[name, *map(int, row), int(row.sum())] for name, row in counts.iterrows()]
    return [*rows, ["all", *map(int, counts.sum()), int(counts.to_numpy().sum())]]


def _subgroups(table: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = []
    for column in SUBGROUPS:
        if table[column].notna().any():
            values = table.assign(**{column: table[column].fillna("not recorded")})
            counts = pd.crosstab(values[column], values["split"])
            heads = [column.replace("_", " "), *counts.columns, "all"]
            blocks.append(Table(heads, _with_totals(counts)[:-1]))
    absent = [column.replace("_", " ") for column in SUBGROUPS if table[column].isna().all()]
    return [*blocks, *([Text(f"Not recorded at all: {', '.join(absent)}.")] if absent else [])]


def _checks(checks: Sequence[tuple[str, str]], findings: Sequence[Finding]) -> Table:
    found = {finding.check: finding for finding in findings}
    rows = [[name, column, found[name].severity if name in found else "passed"] for name, column in checks]
    return Table(["check", "column", "outcome"], rows)
