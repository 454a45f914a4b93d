"""What the page shows of findings, however many rows they have."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.imaging import encode_png
from lesiongen.reporting import render
from lesiongen.validation import Finding
from lesiongen.validation.derived import with_table_columns
from lesiongen.validation.flagged_images import SHOWN, SHOWN_GROUPS, flagged_images, linked_images
from lesiongen.validation.report import LISTED, report_page

ROWS = 60


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("report") / "data")
    with DatasetWriter(uri, name="case") as writer:
        for number in range(ROWS):
            image = encode_png(Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)))
            provenance = json.dumps({"image_manipulation": "synthetic"}) if number == 1 else None
            writer.add(Sample(image, f"S{number}", "nv", "train", provenance=provenance))
    return Dataset.open(uri)


def page_of(dataset, finding, *, allow_real_images=True):
    """The finding's own section, the images that were read, and the whole page."""
    table = with_table_columns(dataset.metadata().assign(synthetic=False, private_metadata=None, from_kept=False))
    images = flagged_images(dataset, [finding], allow_real_images=allow_real_images)
    html = render(report_page(dataset, table, [("case", "column")], [finding], images))
    own = [part for part in html.split("<section") if f"<small>{finding.check}</small></h2>" in part]
    return own[0] if own else None, images, html


def twins(pairs):
    rows = [name for pair in pairs for name in pair]
    values = [name for first, second in pairs for name in (f"{second} (test)", f"{first} (train)")]
    return Finding("error", "duplicate_across_splits", "twins", tuple(rows), tuple(values))


def test_a_pair_is_shown_once_and_side_by_side(dataset):
    section, images, _ = page_of(dataset, twins([("S0", "S1"), ("S2", "S30")]))
    assert set(images.thumbnails) == {"S0", "S1", "S2", "S30"}
    assert section.count("<img") == 2
    assert 'alt="S0 beside S1"' in section
    assert "<figcaption>S2 · S30</figcaption>" in section


def test_names_are_read_whatever_stands_beside_them():
    values = ("b (train), c (test) and 1,203 more", "a (test), e", "x")
    finding = Finding("error", "duplicate_across_splits", "", ("a", "b", "odd, name"), values)
    assert linked_images(finding) == [("a", "b", "c"), ("a", "b", "e"), ("odd, name", "x")]


def test_real_patients_are_left_out_of_pairs_too(dataset):
    section, images, _ = page_of(dataset, twins([("S0", "S1"), ("S2", "S30")]), allow_real_images=False)
    assert set(images.thumbnails) == {"S1"}, "the synthetic one"
    assert section.count("<img") == 1
    section, images, _ = page_of(dataset, twins([("S2", "S30")]), allow_real_images=False)
    assert not images.thumbnails
    assert "<img" not in section
    assert "may show real patients" in section


def test_many_rows_do_not_make_a_long_page(dataset):
    names = tuple(f"S{number % ROWS}" for number in range(20_000))
    section, images, html = page_of(dataset, Finding("error", "ham10000.site", "", names, tuple(["trnk"] * 20_000)))
    assert len(images.thumbnails) == SHOWN
    assert section.count("<img") == 1
    assert section.count("<tr>") == 1 + LISTED + 2, "the listed rows, the value with its count, two heads"
    assert f"The first {LISTED} of 20,000; validation.json lists all" in section
    assert '<td class="number">20,000</td>' in section, "one value accounts for all"
    assert len(html) < 60_000
    section, _, _ = page_of(dataset, twins([(f"S{number}", f"S{number + 1}") for number in range(0, 58)]))
    assert section.count("<img") == SHOWN_GROUPS


def test_a_short_finding_of_classes_is_told_in_the_summary_alone(dataset):
    short = Finding("warning", "class_in_every_split", "Classes are missing", parts=("df has no image in test",))
    section, images, html = page_of(dataset, short)
    assert "Classes are missing: df has no image in test" in html
    assert section is None
    assert not images.thumbnails
    long = Finding("warning", "class_in_every_split", "Classes are missing", parts=tuple(f"c{n}" for n in range(99)))
    section, _, html = page_of(dataset, long)
    assert "c0; c1; c2; c3; and 95 more" in html
    assert f"The first {LISTED} of 99" in section


@pytest.mark.parametrize(
    ("check", "values", "heads"),
    [
        ("image_sharp", ("4.2",), ["image", "variance of the Laplacian, grey levels²"]),
        ("sex_known", ("m",), ["image", "found"]),
        ("licence_present", (), ["image"]),
    ],
)
def test_a_table_of_findings_names_units_and_has_no_empty_column(dataset, check, values, heads):
    section, _, _ = page_of(dataset, Finding("warning", check, "", ("S0",), values))
    assert re.findall(r"<th[^>]*>([^<]*)</th>", section) == heads
    assert all(f">{value}</td>" in section for value in ("S0", *values))
