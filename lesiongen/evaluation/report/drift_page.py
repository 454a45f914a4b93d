"""The page on the drift of a dataset."""

from lesiongen.records.drift import DriftReport
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Page, Section, Table, Text

__all__ = ["drift_page"]

_METHODS = {"wasserstein": "Wasserstein, in standard deviations", "jensenshannon": "Jensen-Shannon"}


def drift_page(report: DriftReport) -> Page:
    """Lays out the outcome, the distance of every property, and what was compared with what."""
    page = Page(f"Drift: {report.name}", f"{report.sources['dataset'].uri} against {report.sources['reference'].uri}")
    page.add(Section("Result", _result(report)))
    page.add(Section("Properties", _properties(report)))
    page.add(Section("Settings", _settings(report)))
    return page


def _result(report: DriftReport) -> list[Block]:
    facts = {
        "real images, reference": report.images["reference"],
        "real images, dataset": report.images["dataset"],
        "properties compared": len(report.properties),
        "share drifted": number(report.share_drifted, ".0%"),
    }
    if report.passed:
        return [Facts(facts), Callout("good", "Passed: the dataset is within the limits.")]
    return [Facts(facts), *(Callout("error", f"Failed: {reason}.") for reason in report.reasons)]


def _properties(report: DriftReport) -> list[Block]:
    rows = [
        (
            one.name.replace("_", " "),
            _METHODS.get(one.method, one.method),
            *(one.known[side] for side in ("reference", "dataset")),
            one.distance,
            one.chance,
            one.drifted,
        )
        for one in report.properties
    ]
    config = report.config
    text = (
        f"Distances as {report.tool} defines them. A property has drifted when its distance is at least "
        f"{config.get('threshold')} and also above chance: the distance that random parts of both datasets' known "
        f"values, lesions and patients whole, seldom exceed (percentile {config.get('chance_percentile')} of "
        f"{config.get('n_permutations')} divisions). drift.html, beside this page, shows the distributions; its "
        "verdicts do not consider chance."
    )
    blocks: list[Block] = [
        Text(text),
        Table(("property", "distance by", "known, reference", "known, dataset", "distance", "chance", "drifted"), rows),
    ]
    missing = [(name.replace("_", " "), why) for name, why in report.absent.items()]
    if missing:
        blocks.append(Table(("property", "reason"), missing, "Not compared"))
    return blocks


def _settings(report: DriftReport) -> list[Block]:
    sources = [(side, source.uri, source.version, report.synthetic[side]) for side, source in report.sources.items()]
    return [
        Text(f"Made on {report.created} by LesionGen {report.lesiongen_version}."),
        Table(("images", "address", "version", "synthetic, left out"), sources),
        Table(("setting", "value"), [(name, str(value)) for name, value in report.config.items()]),
    ]
