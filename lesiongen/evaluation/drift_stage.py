"""The stage: how far the real images of a dataset are from those of a reference, and whether that is within limits."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.evaluation.drift_config import DriftConfig
from lesiongen.evaluation.measured_images import MeasuredImages, measured_images
from lesiongen.evaluation.measures.drift import REPORT, measure_drift
from lesiongen.evaluation.property_distances import Comparison, compare_properties
from lesiongen.evaluation.report.drift_page import drift_page
from lesiongen.records.drift import DriftReport, Side
from lesiongen.records.verdict import Verdict
from lesiongen.reporting import render
from lesiongen.storage import as_json, claimed, open_storage
from lesiongen.temporary import temporary_folder
from lesiongen.tracking import StageRun, stage_run

__all__ = ["DriftResult", "drift"]

RESULT, PAGE = "drift.json", "report.html"


@dataclass(frozen=True)
class DriftResult:
    """The outcome: it passed when no limit is exceeded.

    Attributes:
        passed: Whether the dataset is near enough to the reference.
        drift: The content of drift.json.
        report: Address of the HTML report.
    """

    passed: bool
    drift: DriftReport
    report: str

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that summarise it: the share of properties that drifted, and the distance of each."""
        distances = {f"drift_{one.name}": one.distance for one in self.drift.properties}
        found = {"drift_share": self.drift.share_drifted, **distances, "passed": float(self.passed)}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def verdict(self) -> Verdict:
        """Whether the dataset passed, and which limits it exceeds, for `lesiongen.records.verdict.require_passed`."""
        if self.passed:
            return Verdict(passed=True)
        sources = self.drift.sources
        head = f"{sources['dataset'].uri} has drifted from {sources['reference'].uri}"
        return Verdict(
            passed=False,
            message="\n".join([head, *(f"  {reason}" for reason in self.drift.reasons)]),
            hint=f"The report: {self.report}",
        )


def drift(config: DriftConfig, reference_uri: str, dataset_uri: str, output: str) -> DriftResult:
    """Compares the real images of a dataset with those of a reference, property by property.

    Args:
        config: What is compared, and the limits.
        reference_uri: The dataset that is compared with: the one that a model was released on, for example.
        dataset_uri: The dataset that is judged.
        output: Folder or ``s3://`` prefix that gets drift.json, report.html and drift.html (evidently's own page).

    Returns:
        The distances; a limit that is exceeded is a result, not an exception (`DriftResult.verdict` makes it one).

    Raises:
        UsageError: Another process writes to ``output``.
        StorageError: A dataset is missing, or the output cannot be written.
        DataError: One has too few real images, an image is damaged, or no property is known of enough in both.
    """
    datasets = [Dataset.open(uri) for uri in (reference_uri, dataset_uri)]
    storage = open_storage(output)
    storage.require_writable()
    params = {**config.model_dump(), "reference": datasets[0].uri, "dataset": datasets[1].uri}
    with claimed(storage), stage_run("drift", params) as run:
        reference, current = (measured_images(config, dataset) for dataset in datasets)
        with temporary_folder("drift") as folder:
            result = DriftResult(*_judged(config, reference, current, folder), f"{storage.uri}/{PAGE}")
            storage.write_text(REPORT, (folder / REPORT).read_text(encoding="utf-8"))
            page = render(drift_page(result.drift))
            storage.write_text(PAGE, page)
            storage.write_json(RESULT, result.drift.content())
            _track(run, result, page)
    return result


def _judged(
    config: DriftConfig, reference: MeasuredImages, current: MeasuredImages, folder: Path
) -> tuple[bool, DriftReport]:
    """Returns whether the limits are kept, and the report; writes evidently's page into a folder."""
    compared = compare_properties(config, reference, current)
    names = [name for name in config.properties if name not in compared.absent]
    page = measure_drift(reference.table[names], current.table[names], folder / REPORT, config.threshold)
    reasons = _reasons(config, compared)
    sides: dict[Side, MeasuredImages] = {"reference": reference, "dataset": current}
    report = DriftReport(
        name=config.name,
        lesiongen_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config.model_dump(mode="json"),
        sources={side: one.source for side, one in sides.items()},
        images={side: len(one.table) for side, one in sides.items()},
        synthetic={side: one.synthetic for side, one in sides.items()},
        tool=page.tool,
        properties=compared.properties,
        absent=compared.absent,
        share_drifted=compared.share_drifted,
        passed=not reasons,
        reasons=reasons,
    )
    return not reasons, report


def _reasons(config: DriftConfig, compared: Comparison) -> tuple[str, ...]:
    """Returns the limits that are exceeded, and those of properties that are not compared: nobody knows of these."""
    found, share = compared.properties, compared.share_drifted
    reasons = []
    if share > config.max_drifted_share:
        names = ", ".join(one.name for one in found if one.drifted)
        count = f"{sum(one.drifted for one in found)} of {len(found)} properties have drifted"
        reasons.append(f"{count} ({names}); max_drifted_share allows {config.max_drifted_share:.0%}")
    for one in found:
        allowed = config.max_distances.get(one.name)  # type: ignore[call-overload]  # the name of a property
        if allowed is not None and (one.distance or 0.0) > allowed:
            reasons.append(f"{one.name} is at a distance of {one.distance:.3f}; max_distances allows {allowed:g}")
    limited = [name for name in config.max_distances if name in compared.absent]
    return (*reasons, *(f"{name} has a limit and is {compared.absent[name]}" for name in limited))


def _track(run: StageRun, result: DriftResult, page: str) -> None:
    run.log_metrics(result.metrics)
    run.log_text(as_json(result.drift.content()), RESULT)
    run.log_text(page, PAGE)
