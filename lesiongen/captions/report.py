"""The caption report as a page: coverage, checks with their worst cases, tokens, and what was left out."""

from collections.abc import Container, Mapping, Sequence

from PIL import Image

from lesiongen.captions.check_counts import WorstCase
from lesiongen.captions.result import CaptionCounts
from lesiongen.concepts.schema import ENTRIES, SOURCES
from lesiongen.imaging import contact_sheet
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text, figure_image

__all__ = ["caption_page", "worst_images"]

TILE = 168


def worst_images(counts: CaptionCounts) -> tuple[str, ...]:
    """Returns the image_ids whose images the page shows, where that is allowed."""
    return tuple(sorted({case.image_id for cases in counts.checks.worst.values() for case in cases}))


def caption_page(
    name: str,
    counts: CaptionCounts,
    images: Mapping[str, Image.Image],
    examples: Sequence[Sequence[str]],
    *,
    with_ids: bool = True,
) -> Page:
    """Lays out some captions, what they say and from whom, what the checks found, and what did not fit.

    Args:
        name: Of the captioned dataset.
        counts: What was counted.
        images: Images that may be shown, by image_id, with the lesion's outline; the others are named alone.
        examples: The image_id, the diagnosis and the caption of some images.
        with_ids: Whether images that are not shown are named by their image_id.
    """
    page = Page(f"Caption report of {name}", f"{counts.images:,} images")
    page.add(Section("Result", _result(counts)))
    caption = f"{len(examples):,} of {counts.images:,} captions, the classes in turn"
    named = [_named(row, images, with_ids=with_ids) for row in examples]
    page.add(Section("Captions", [Table(("image", "diagnosis", "caption"), named, caption)]))
    page.add(Section("Who says what", _coverage(counts)))
    page.add(Section("Tokens", _tokens(counts)))
    page.add(Section("Checks", _checks(counts)))
    for check, cases in sorted(counts.checks.worst.items()):
        page.add(Section(check.capitalize(), _cases(check, cases, counts, images, with_ids=with_ids)))
    return page


def _named(row: Sequence[str], images: Container[str], *, with_ids: bool) -> list[str]:
    """Returns a row of a table without the image_id that it begins with, where that may not be named."""
    return list(row) if with_ids or row[0] in images else ["left out", *row[1:]]


def _result(counts: CaptionCounts) -> list[Block]:
    checks = counts.checks
    facts = {
        "images": counts.images,
        "mean tokens": counts.mean_tokens,
        "longest caption": f"{counts.longest} of {counts.budget}",
        "images with a finding": checks.affected,
        "captions rejected": checks.rejected,
    }
    blocks: list[Block] = [Facts(facts)]
    if checks.rejected:
        blocks.append(Callout("warning", f"{checks.rejected:,} captions were rejected and name the diagnosis alone."))
    blocks.append(
        Text(
            "Captions describe what a source said of an image. They are not a diagnosis, and a tone that was measured "
            "in an image is not the patient's skin type."
        )
    )
    return blocks


def _coverage(counts: CaptionCounts) -> list[Block]:
    coverage = counts.coverage()
    rows = [
        [name.replace("_", " "), *(coverage[name].get(source) for source in SOURCES), sum(coverage[name].values())]
        for name in ENTRIES
        if name in coverage
    ]
    blocks: list[Block] = [Table(("entry", *SOURCES, "any"), rows, "Share of the images that have the entry")]
    if counts.not_measurable:
        blocks.append(
            _counted("not measurable", counts.not_measurable, "Images that do not allow a measurement", counts)
        )
    if counts.refused:
        blocks.append(_counted("writer", counts.refused, "Answers that a writer may not state", counts))
    return blocks


def _counted(head: str, found: Mapping[str, int], caption: str, counts: CaptionCounts) -> Table:
    ordered = sorted(found.items(), key=lambda item: -item[1])
    rows = [[name.replace("_", " "), count, count / max(counts.images, 1)] for name, count in ordered]
    return Table((head, "number", "per image"), rows, caption)


def _tokens(counts: CaptionCounts) -> list[Block]:
    blocks: list[Block] = [Figure(_histogram(counts), "Number of captions of each length in tokens")]
    for found, caption in (
        (counts.dropped, "Entries that did not fit into the caption"),
        (counts.shortened, "Entries of which a part did not fit"),
    ):
        if found:
            blocks.append(_counted("entry", found, caption, counts))
    return blocks


def _histogram(counts: CaptionCounts) -> Image.Image:
    from matplotlib.figure import Figure  # the processes that measure import this module and draw nothing

    figure = Figure(figsize=(7, 2.4))
    axes = figure.add_subplot()
    axes.bar(list(counts.lengths), list(counts.lengths.values()), width=0.9, color="#1f5f8b")
    axes.axvline(counts.budget + 0.5, color="#b3261e", linestyle="--", linewidth=1)
    axes.annotate(
        f"budget {counts.budget} ", (counts.budget, 1), xycoords=("data", "axes fraction"), ha="right", va="top"
    )
    axes.set(xlim=(0, counts.budget + 2), xlabel="tokens, special tokens included", ylabel="captions")
    axes.spines[["top", "right"]].set_visible(False)
    return figure_image(figure)


def _checks(counts: CaptionCounts) -> list[Block]:
    rows = [
        [check, writer, rule, number, number / max(counts.images, 1)]
        for writer, found in counts.checks.found.items()
        for check, rules in found.items()
        for rule, number in rules.items()
    ]
    if not rows:
        return [Callout("good", "The checks found nothing.")]
    rows.sort(key=lambda row: (str(row[0]), -int(str(row[3]))))
    return [Table(("check", "writer", "rule", "findings", "per image"), rows)]


def _cases(
    check: str,
    cases: Sequence[WorstCase],
    counts: CaptionCounts,
    images: Mapping[str, Image.Image],
    *,
    with_ids: bool,
) -> list[Block]:
    entries = counts.checks.entries[check]
    blocks: list[Block] = [Text("In: " + ", ".join(f"{name} {count:,}" for name, count in entries.most_common()))]
    shown = list(dict.fromkeys(case.image_id for case in cases if case.image_id in images))
    if shown:
        sheet = contact_sheet([images[image_id] for image_id in shown], shown, columns=4, tile=TILE)
        blocks.append(Figure(sheet, f"The worst cases of: {check}"))
    elif cases:
        blocks.append(Text("The images are left out: they may show real patients."))
    rows = [
        [
            case.image_id,
            case.finding.writer,
            case.finding.entry.replace("_", " "),
            case.finding.detail,
            case.finding.rule,
        ]
        for case in cases
    ]
    named = [_named(row, images, with_ids=with_ids) for row in rows]
    return [*blocks, Table(("image", "writer", "entry", "found", "rule"), named, "The worst cases")]
