"""The page that a person reads: what came out, how sure it is, and the pictures behind it."""

from collections.abc import Callable, Mapping

from PIL import Image

from lesiongen.dataset import diagnosis_phrase
from lesiongen.evaluation.report.verdict import verdict
from lesiongen.records.evaluation import ClassRecall, Comparison, EvaluationRecord, Score, SubgroupScore
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Page, Picture, Section, Table, Text
from lesiongen.sample_sizes import MIN_GROUP_IMAGES, MIN_HELD_OUT_IMAGES

__all__ = ["build_page"]

Pictures = Mapping[str, Image.Image]


def build_page(evaluation: EvaluationRecord, pictures: Pictures) -> Page:
    """Builds the report of an evaluation from the content of evaluation.json and the pictures."""
    counts = evaluation.counts
    subtitle = (
        f"Tested on {counts.test.n} real images of {counts.test_lesions} lesions that no training has seen; "
        f"{counts.train.n} real and {counts.synthetic.n} synthetic training images."
    )
    page = Page(f"Evaluation: {evaluation.name}", subtitle)
    parts: tuple[tuple[str, Callable[[EvaluationRecord, Pictures], list[Block]]], ...] = (
        ("Summary", _summary),
        ("The synthetic images", _samples),
        ("Use for a classifier", _utility),
        ("By diagnosis", _by_class),
        ("By group of patients", _subgroups),
        ("Near copies of training images", _memorisation),
        ("Fidelity", _fidelity),
        ("Calibration", _calibration),
        ("Drift", _drift),
        ("Settings", _settings),
    )
    for title, build in parts:
        page.add(Section(title, build(evaluation, pictures)))
    return page


def _summary(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    facts: dict[str, str | float | None] = {
        f"balanced accuracy, {name}": scores.balanced_accuracy.mean for name, scores in evaluation.utility.items()
    }
    facts["near copies"] = number(evaluation.memorisation.share_above, ".1%")
    facts["diagnosis recognised"] = number(evaluation.class_agreement.agreement, ".0%")
    callouts: list[Block] = [Callout(finding.kind, finding.text) for finding in verdict(evaluation)]
    return [Facts(facts), *callouts, *(Callout("info", note) for note in evaluation.notes)]


def _samples(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    agreement = evaluation.class_agreement
    shown = (
        "beside real training images"
        if evaluation.config.get("allow_real_images")
        else "alone; real images are left out"
    )
    rows = [(name, diagnosis_phrase(name), entry.n, entry.agreement) for name, entry in agreement.per_class.items()]
    return [
        Picture(
            pictures["samples"], "Synthetic images of each diagnosis", f"Synthetic images, class by class, {shown}."
        ),
        Text(
            f"The diagnosis asked for was recognised in {number(agreement.agreement, '.0%')} of {agreement.n} "
            f"synthetic images by {agreement.classifier}; chance is {number(agreement.chance, '.0%')}. "
            "The classifier errs on real images too."
        ),
        Table(
            ("class", "diagnosis", "images", "recognised"), rows, "Synthetic images recognised as what was asked for"
        ),
    ]


def _utility(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    rows = []
    for name, scores in evaluation.utility.items():
        cells = [_interval(score.mean, score) for score in (scores.balanced_accuracy, scores.accuracy, scores.macro_f1)]
        rows.append((name, *cells, scores.balanced_accuracy.spread))
    made = evaluation.protocol
    how = [made.training, made.both.meaning, made.selection, made.test, made.intervals, made.tests]
    tests = [
        (
            entry.name,
            entry.difference,
            _range(entry),
            entry.spread,
            entry.p_value,
            entry.p_holm,
            entry.significant,
        )
        for entry in evaluation.comparisons
    ]
    return [
        Table(
            ("trained on", "balanced accuracy", "accuracy", "macro F1", "spread over seeds"),
            rows,
            "Tested on the same real test images, trained within the same budget",
        ),
        Table(
            ("comparison", "difference", "interval", "spread over seeds", "p", "p (Holm)", "significant"),
            tests,
            "Differences in balanced accuracy, paired over test lesions",
        ),
        Picture(
            pictures["recall"],
            "Balanced accuracy and recall of each class",
            "Points are means over seeds, lines are intervals over test lesions.",
        ),
        Picture(pictures["confusion"], "Confusion matrices", "Shares of the true class, means over seeds."),
        Text("\n\n".join(how)),
    ]


def _by_class(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    utility = evaluation.utility
    rows = []
    for name in evaluation.classes:
        entries = {condition: scores.per_class[name] for condition, scores in utility.items()}
        cells = [_interval(entry.recall, entry) for entry in entries.values()]
        small = "too small" if (entries["real"].n or 0) < MIN_GROUP_IMAGES else ""
        rows.append((name, diagnosis_phrase(name), entries["real"].n, *cells, small))
    heads = ("class", "diagnosis", "test images", *(f"recall, {condition}" for condition in utility), "")
    text = (
        f"Diagnoses with fewer than {MIN_GROUP_IMAGES} test images are marked: an interval over few lesions is too "
        "narrow, and of one lesion it has no width."
    )
    return [Text(text), Table(heads, rows, "Recall of each diagnosis")]


def _subgroups(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    utility, real = evaluation.utility, evaluation.scores("real")
    if not real.subgroups:
        return [Text("The test images name no group of patients.")]
    found = {
        name: {(entry.column, entry.group): entry for entry in scores.subgroups} for name, scores in utility.items()
    }
    rows = []
    for entry in real.subgroups:
        same = [groups[entry.column, entry.group] for groups in found.values()]
        cells = [_interval(each.recall, each) for each in same]
        small = "too small" if entry.too_small else ""
        rows.append((entry.column.replace("_", " "), entry.group, entry.n, entry.lesions, *cells, small))
    heads = ("by", "group", "images", "lesions", *(f"recall, {condition}" for condition in utility), "")
    gaps = [
        (column.replace("_", " "), *(scores.gaps.get(column) for scores in utility.values())) for column in real.gaps
    ]
    text = (
        "Recall is the mean over the diagnoses with at least five images in the group, over all of them where none has "
        "five. The groups are sorted by the "
        "recall of the classifier of real images, the worst first. The worst of many groups looks bad by chance too: "
        f"read its interval. Groups of fewer than {evaluation.config.get('min_group')} images are marked, not hidden."
    )
    return [
        Text(text),
        Table(heads, rows, "Groups, the worst first"),
        Table(("by", *utility), gaps, "Difference in recall between the best and the worst group"),
    ]


def _memorisation(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    found = evaluation.memorisation
    rows = [(pair.synthetic, pair.train, pair.similarity, pair.above) for pair in found.nearest_pairs]
    text = (
        f"Similarity is {found.method}. The threshold {number(found.threshold)} is the "
        f"{number(found.percentile, 'g')}th percentile of the similarities of {found.n_held_out} held-out real images "
        f"to their nearest training image, so that {number(found.expected_share, '.0%')} above it are expected "
        f"without any copying; {found.n_above} of {found.n_synthetic} synthetic images are."
    )
    blocks: list[Block] = [Text(text)]
    if not found.calibrated:
        blocks.append(
            Callout("warning", f"Too few held-out images for a firm threshold: fewer than {MIN_HELD_OUT_IMAGES}.")
        )
    return [
        *blocks,
        Picture(pictures["nearest_pairs"], "Synthetic images and their nearest training images", "The nearest first."),
        Picture(pictures["similarity"], "Similarities to the nearest training image"),
        Table(
            ("synthetic image", "training image", "similarity", "above threshold"),
            rows,
            "The nearest pairs; nearest.json of the evaluation names that of every synthetic image",
        ),
    ]


def _fidelity(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    found = evaluation.fidelity
    rows = [
        (
            label,
            scores.n_fake,
            scores.n_real,
            scores.kid,
            scores.frechet_distance,
            scores.precision,
            scores.recall,
            scores.density,
            scores.coverage,
        )
        for label, scores in (("synthetic", found.synthetic), ("held-out real", found.held_out_real))
    ]
    per_class = [(name, entry.n_synthetic, entry.n_real, entry.kid) for name, entry in found.per_class.items()]
    return [
        Text(
            f"Distances to the real training images in the {found.extractor}. They depend on that network and on "
            "the numbers of images and are not comparable with values in papers; the held-out "
            "real images give the scale."
        ),
        Table(
            ("images", "n", "n training", "KID", "Fréchet distance", "precision", "recall", "density", "coverage"), rows
        ),
        Table(("class", "synthetic", "real", "KID"), per_class, "By diagnosis"),
    ]


def _calibration(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    rows = [(name, scores.calibration.brier, scores.calibration.ece) for name, scores in evaluation.utility.items()]
    return [
        Table(("trained on", "Brier score", "expected calibration error"), rows, "Lower is better"),
        Picture(pictures["calibration"], "Share of right predictions over stated confidence"),
    ]


def _drift(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    found = evaluation.drift
    rows = [(entry.column.replace("_", " "), entry.method, entry.distance, entry.drifted) for entry in found.columns]
    text = (
        f"Properties of the synthetic images against those of the real training images, by {found.tool}; from a "
        f"distance of {number(found.threshold, 'g')} on, a property counts as drifted. Its own report is "
        "drift.html of the evaluation."
    )
    missing = f" Not measured on both sides: {', '.join(found.absent)}." if found.absent else ""
    return [Text(text + missing), Table(("property", "distance by", "distance", "drifted"), rows)]


def _settings(evaluation: EvaluationRecord, pictures: Pictures) -> list[Block]:
    sources = [(name, source.uri, source.version) for name, source in evaluation.sources.items()]
    values = [(name, str(value)) for name, value in evaluation.config.items()]
    made = f"Made on {evaluation.created} by LesionGen {evaluation.lesiongen_version}."
    return [
        Text(made),
        Table(("images", "address", "version"), sources),
        Table(("setting", "value"), values),
    ]


def _interval(value: float | None, bounds: Score | ClassRecall | SubgroupScore) -> str | None:
    return None if value is None else f"{value:.3f} ({_range(bounds, joint='–')})"


def _range(bounds: Score | ClassRecall | SubgroupScore | Comparison, joint: str = " to ") -> str:
    if bounds.low is None or bounds.high is None:
        return "no interval"
    return f"{bounds.low:.3f}{joint}{bounds.high:.3f}"
