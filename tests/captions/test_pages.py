"""The caption report's page and the preview: what they show, and what they leave out."""

import re

import pytest
from PIL import Image

from lesiongen.captions.checks import check
from lesiongen.captions.preview import Shown, outlined, preview_page
from lesiongen.captions.report import caption_page, worst_images
from lesiongen.captions.result import CaptionCounts
from lesiongen.captions.writers import Written
from lesiongen.concepts import Composed, Entry, Report, described, measure
from lesiongen.dataset import Sample
from lesiongen.phantoms import PhantomConfig, draw_concepts, render
from lesiongen.reporting import render as render_page

SAMPLE = Sample(image=b"", image_id="<i>one</i>", diagnosis="mel", split="train", sex="female")
EXAMPLES = [["<i>one</i>", "mel", "melanoma, <b>dark</b>"]]
EXPERT = described(Report(), "A man. <script>alert(1)</script> A papule.")


@pytest.fixture
def counts():
    counts = CaptionCounts(budget=77)
    size = Report(size=Entry(value=("small",), source="measured", evidence={"area_share": 0.1}))
    written = {"measured": Written(report=size, not_measurable={"outline": "cut off"}, refused=("red",))}
    checked = check({"expert": EXPERT, "measured": size}, SAMPLE)
    counts.add(SAMPLE.image_id, written, checked, Composed("text", 40, ("patient",), {"patient": (), "colour": ()}))
    return counts


def test_the_report_shows_coverage_tokens_checks_and_the_worst_cases(counts):
    assert worst_images(counts) == (SAMPLE.image_id,)
    page = render_page(caption_page("set", counts, {SAMPLE.image_id: Image.new("RGB", (32, 32))}, EXAMPLES))
    text = re.sub(r"<[^>]*>", " ", page)
    for words in (
        "40 of 77",
        "did not fit",
        "outline",
        "contradiction with the metadata",
        "male, the table says female",
    ):
        assert words in text
    assert page.count("<img") == 2, "the lengths and the worst case"
    assert "<script>" not in page and "<i>one</i>" not in page


def test_the_report_names_images_that_it_may_not_show(counts):
    page = render_page(caption_page("set", counts, {}, EXAMPLES))
    assert page.count("<img") == 1
    assert "The images are left out" in page


def test_a_report_does_not_name_images_where_that_is_not_allowed(counts):
    page = render_page(caption_page("set", counts, {}, EXAMPLES, with_ids=False))
    assert "&lt;i&gt;one" in render_page(caption_page("set", counts, {}, EXAMPLES))
    assert "&lt;i&gt;one" not in page
    assert "melanoma, &lt;b&gt;dark&lt;/b&gt;" in page
    assert "male, the table says female" in page


def test_a_report_without_findings_says_so():
    counts = CaptionCounts(budget=77)
    counts.add("a", {}, check({}, SAMPLE), Composed("melanoma", 3))
    page = render_page(caption_page("set", counts, {}, EXAMPLES))
    assert "The checks found nothing." in page
    assert "melanoma, &lt;b&gt;dark&lt;/b&gt;" in page
    assert "1 of 1 captions, the classes in turn" in page


def test_the_preview_shows_mask_caption_tokens_and_what_was_left_out():
    image = render(draw_concepts(PhantomConfig(seed=1), 3), 96)
    composed = Composed("melanoma, <b>small</b>", 21, ("size",), {"size": ("small",)})
    report = Report(size=Entry(value=("small",), source="measured", evidence={"area_share": 0.1}))
    page = render_page(preview_page("set", [Shown(SAMPLE, image, report, composed, measure(image))], budget=77))
    for words in ("21 of 77", "area_share 0.1", "measured", "melanoma, &lt;b&gt;small&lt;/b&gt;"):
        assert words in page
    assert page.count("<img") == 1


def test_the_outline_is_drawn_around_the_lesion_alone():
    image = render(draw_concepts(PhantomConfig(seed=1), 3), 96)
    measurement = measure(image)
    drawn = outlined(image, measurement, 96, outside=0.0)
    assert (0, 230, 60) in {colour for _, colour in drawn.getcolors(96 * 96)}
    assert drawn.getpixel((0, 0)) == (0, 0, 0)
    assert outlined(image, None, 96).getpixel((0, 0)) == image.getpixel((0, 0))


def test_the_preview_gives_no_reason_that_every_image_has():
    from lesiongen.captions.preview import _caption
    from lesiongen.concepts import measure

    plain = measure(Image.new("RGB", (128, 128), (200, 150, 130)))
    assert "texture" in plain.not_measurable
    assert "texture" not in _caption(plain) and "lesion: " in _caption(plain)
