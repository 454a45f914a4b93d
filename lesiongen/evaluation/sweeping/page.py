"""The page on a sweep: the choice, every candidate with its interval, and the scores by share of synthetic images."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure as Drawing
from PIL import Image

from lesiongen.evaluation.sweeping.config import share_field, shown_numbers
from lesiongen.evaluation.sweeping.grid import REAL_ALONE
from lesiongen.records.sweep import Candidate, SweepRecord
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text, figure_image

__all__ = ["build_sweep_page", "sweep_figures"]

DRAWN = 40
"""Candidates in the figure, the best ones; the table has all."""
CHOSEN, OTHER, REAL = "#3ca951", "#9aa5b1", "#4269d0"


def sweep_figures(record: SweepRecord) -> dict[str, Image.Image]:
    """Draws the candidates with their intervals and, where a protocol has several numbers, the mixing curves."""
    figures = {"candidates": _candidates_figure(record)}
    if curves := _curves(record):
        figures["mixing"] = _mixing_figure(record, curves)
    return figures


def build_sweep_page(record: SweepRecord, figures: Mapping[str, Image.Image]) -> Page:
    """Lays out the choice and how it was made, all candidates, and the mixing curves."""
    subtitle = (
        f"{len(record.candidates)} candidates on {record.n_validation} real validation images of "
        f"{record.validation_lesions} lesions. The test split was not opened."
    )
    page = Page(f"Sweep: {record.name}", subtitle)
    page.add(Section("Choice", _choice(record)))
    page.add(Section("Candidates", _candidates(record, figures)))
    if "mixing" in figures:
        text = "Mean balanced accuracy on the validation images without a filter; at 0 are real images alone."
        page.add(Section("Share of synthetic images", [Figure(figures["mixing"], "Score by share", text)]))
    page.add(Section("Settings", _settings(record)))
    return page


def _choice(record: SweepRecord) -> list[Block]:
    choice, best = record.candidate(record.choice), record.candidate(record.best)
    blocks: list[Block] = [
        Facts({"chosen": choice.name, "balanced accuracy": choice.mean, "of real alone": _real(record).mean}),
        Text(record.rule),
    ]
    if choice.name == REAL_ALONE:
        text = (
            "No synthetic images earned their place: real images alone are within one standard error of the best. An "
            f"evaluation tests the candidate that the rule chooses among those with synthetic images: {record.tested}."
        )
        blocks.append(Callout("warning", text))
    else:
        blocks.append(Callout("good", f"{choice.name}: {_from_real(choice)}."))
    if best.name != choice.name:
        text = (
            f"Highest mean: {best.name}, {number(best.mean)}; the choice is simpler and {number(choice.behind)} below"
        )
        blocks.append(Callout("info", f"{text} (standard error {number(choice.behind_error)})."))
    text = (
        f"The highest of {len(record.candidates)} means is too high by chance alone, as is its difference from real "
        "images. Only the evaluation on the test split says what the choice is worth."
    )
    return [*blocks, Callout("info", text), *(Callout("warning", note) for note in record.notes)]


def _real(record: SweepRecord) -> Candidate:
    return record.candidate(REAL_ALONE)


def _from_real(one: Candidate) -> str:
    interval = f"{number(one.from_real_low, '+.3f')} to {number(one.from_real_high, '+.3f')}"
    return f"{number(one.from_real, '+.3f')} ({interval}) against real images alone, on validation images"


def _candidates(record: SweepRecord, figures: Mapping[str, Image.Image]) -> list[Block]:
    heads = ("candidate", "synthetic", "mean", "low", "high", "against real", "low", "high", "behind", "std. error")
    rows = [
        (
            *(f"{one.name} ← chosen" if one.name == record.choice else one.name, one.n_synthetic, one.mean),
            *(one.low, one.high, one.from_real, one.from_real_low, one.from_real_high, one.behind, one.behind_error),
        )
        for one in _by_mean(record.candidates)
    ]
    text = (
        "Intervals are over validation lesions and seeds. Behind is how far the mean is below the highest, with the "
        "standard error of that difference."
    )
    blocks: list[Block] = [Text(text), Figure(figures["candidates"], "Candidates with intervals"), Table(heads, rows)]
    if record.left_out:
        blocks.append(Table(("candidate", "why it was not trained"), [*record.left_out.items()], "Left out"))
    return blocks


def _by_mean(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (-(one.mean or 0.0), one.rank))


def _settings(record: SweepRecord) -> list[Block]:
    sources = [("real", record.real.uri, record.real.version[:12])]
    sources += [(name, one.uri, one.version[:12]) for name, one in record.synthetic.items()]
    return [
        Text(f"Made on {record.created} by LesionGen {record.lesiongen_version}; judged by {record.judge}."),
        Table(("images", "dataset", "version"), sources),
        Table(("setting", "value"), [(name, str(value)) for name, value in record.config.items()]),
    ]


def _candidates_figure(record: SweepRecord) -> Image.Image:
    shown = _by_mean(record.candidates)[:DRAWN]
    shown += [one for one in record.candidates if one.name in (record.choice, REAL_ALONE) and one not in shown]
    figure = Drawing(figsize=(8.0, 0.26 * len(shown) + 1.0), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(shown):
        mean, low, high = (np.nan if value is None else value for value in (one.mean, one.low, one.high))
        colour = CHOSEN if one.name == record.choice else REAL if one.name == REAL_ALONE else OTHER
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", markersize=4, color=colour)
    axes.axvline(_real(record).mean or np.nan, color=REAL, linewidth=0.8, linestyle="--")
    names = [f"{one.name} (chosen)" if one.name == record.choice else one.name for one in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=7, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("balanced accuracy on validation images")
    axes.grid(axis="x", color="#e4e4e4")
    axes.set_axisbelow(True)
    return figure_image(figure)


def _curves(record: SweepRecord) -> dict[str, list[tuple[float, Candidate]]]:
    """Returns the candidates without a filter by their share, where several differ in nothing else."""
    curves: dict[str, list[tuple[float, Candidate]]] = {}
    for one in record.candidates:
        if one.name == REAL_ALONE or one.keep < 1 or one.drop_near_copies:
            continue
        protocol, numbers = str(one.mixing["protocol"]), shown_numbers(one.mixing)
        share = numbers.pop(share_field(protocol))
        words = [" + ".join(one.sets), protocol, *(f"{name} {value:.15g}" for name, value in numbers.items())]
        curves.setdefault(", ".join(words), []).append((share, one))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in curves.items() if len(points) > 1}


def _mixing_figure(record: SweepRecord, curves: Mapping[str, Sequence[tuple[float, Candidate]]]) -> Image.Image:
    figure = Drawing(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    real = _real(record)
    for name, points in curves.items():
        shares = [0.0, *(share for share, _ in points)]
        means = [np.nan if one.mean is None else one.mean for one in (real, *(one for _, one in points))]
        axes.plot(shares, means, marker="o", markersize=4, linewidth=1, label=name)
    axes.set_xlabel("synthetic share (under concat, weight)")
    axes.set_ylabel("balanced accuracy, validation")
    axes.grid(color="#e4e4e4")
    axes.set_axisbelow(True)
    for text in axes.legend(fontsize=7, frameon=False).get_texts():
        text.set_parse_math(False)
    return figure_image(figure)
