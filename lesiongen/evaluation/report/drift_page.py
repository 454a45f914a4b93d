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
        (one.name.replace("_", " "), _METHODS.get(one.method, one.method), one.distance, one.chance, one.drifted)
        for one in report.properties
    ]
    threshold = report.config.get("threshold")
    text = (
        f"Distances by {report.tool}. A property has drifted when its distance is at least {threshold} and also above "
        "chance: the distance that random parts of the images of both datasets, lesions and patients whole, seldom "
        f"exceed (percentile {report.config.get('chance_percentile')} of {report.config.get('n_permutations')} "
        "divisions). drift.html, beside this page, shows the distributions; its verdicts do not consider chance."
    )
    blocks: list[Block] = [
        Text(text),
        Table(("property", "distance by", "distance", "chance", "drifted"), rows),
    ]
    missing = [(name.replace("_", " "), " and ".join(where)) for name, where in report.absent.items()]
    if missing:
        blocks.append(Table(("property", "not recorded in"), missing, "Not compared"))
    return blocks


def _settings(report: DriftReport) -> list[Block]:
    sources = [(side, source.uri, source.version, report.synthetic[side]) for side, source in report.sources.items()]
    return [
        Text(f"Made on {report.created} by LesionGen {report.lesiongen_version}."),
        Table(("images", "address", "version", "synthetic, left out"), sources),
        Table(("setting", "value"), [(name, str(value)) for name, value in report.config.items()]),
    ]
