import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesiongen.reporting import Callout, Facts, Figure, Page, Section, Table, Text, figure_image, render
from lesiongen.reporting.rendering import format_value

HOSTILE = "<script>alert(1)</script><img src=x onerror=\"a('b')\"> & {{ 7 * 7 }}"


class Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(text: str) -> Page:
    image = Image.new("RGB", (4, 4), "red")
    return Page(text, text).add(
        Section(
            text,
            [
                Table([text], [[text]], text),
                Figure(image, text, text),
                Text(text),
                Facts({text: text}),
                Callout("warning", text),
            ],
        )
    )


def test_everything_given_is_shown_and_nothing_of_it_is_markup():
    read = Reader(render(page_of(HOSTILE)))
    assert not read.all("script")
    assert len(read.all("img")) == 1
    # title, h1, subtitle, h2, caption, head, cell, figcaption, text, fact name and value, callout
    assert read.text.count(HOSTILE) == 12
    assert read.all("img")[0]["alt"] == HOSTILE


def structure(page: Page) -> list[str]:
    """The tags of a page, less those that an empty or a two-paragraph text leaves out or doubles."""
    return [name for name, _ in Reader(render(page)).tags if name not in ("p", "caption", "figcaption")]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_no_text_changes_the_structure_of_the_page(text):
    assert structure(page_of(text)) == structure(page_of("x"))


def test_the_page_loads_nothing():
    html = render(page_of("plain"))
    read = Reader(html)
    assert not read.all("link")
    assert not re.search(r"url\(|@import|https?://", html)
    assert all(attributes["src"].startswith("data:image/") for attributes in read.all("img"))
    policy = next(a["content"] for a in read.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_a_picture_arrives_unharmed():
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    source = Reader(render(Page("t").add(Section("s", [Figure(image, "a")])))).all("img")[0]["src"]
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as shown:
        assert shown.convert("RGB").tobytes() == image.tobytes()


def test_photographs_are_not_kept_as_png():
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    assert "data:image/jpeg" in render(Page("t").add(Section("s", [Figure(photograph, "a")])))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (np.int64(4096), "4,096"),
        (0.5, "0.500"),
        (np.float32(0.25), "0.250"),
        (0.0, "0.000"),
        (1e-7, "1e-07"),
        (123456.0, "1.235e+05"),
        ("nv", "nv"),
    ],
)
def test_values_are_written_for_people(value, shown):
    assert format_value(value) == shown


def test_number_columns_are_flush_right_even_with_gaps():
    table = Table(["class", "recall", "note"], [["nv", 0.5, 1], ["mel", None, "few"]])
    heads = Reader(render(Page("t").add(Section("s", [table])))).all("th")
    assert [head.get("class") for head in heads] == [None, "number", None]


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        Table(["a", "b"], [[1, 2], [3]])


def test_contents_link_to_sections_even_of_one_name():
    page = Page("t")
    for title in ("Results", "Results", "Späße"):
        page.add(Section(title, []))
    read = Reader(render(page))
    targets = [section["id"] for section in read.all("section")]
    assert [link["href"] for link in read.all("a")] == [f"#{target}" for target in targets]
    assert len(set(targets)) == 3


def test_a_figure_becomes_a_picture():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [1, 0], color="red", linewidth=4)
    picture = figure_image(figure)
    assert picture.mode == "RGB"
    assert picture.width > 200
    pixels = np.asarray(picture).reshape(-1, 3)
    assert ((pixels[:, 0] > 200) & (pixels[:, 1] < 60)).any()


def test_no_text_of_a_page_holds_a_secret_or_turns_a_line_round(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "0a1b2c3d4e5f6g7h")
    told = "at http://me:0a1b2c3d@host, \u202egnp"
    page = Page(title=told, sections=(Section(title="x", blocks=(Table(columns=(told,), rows=((told,),)),)),))
    text = render(page)
    assert "0a1b2c3d" not in text and "me:*" not in text and "at http://host" in text
    assert "\u202e" not in text and "\\u202egnp" in text
