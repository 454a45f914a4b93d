"""Turning a page into HTML."""

import math
import re
from functools import cache
from numbers import Integral, Real

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lesiongen import __version__
from lesiongen.redaction import shown
from lesiongen.reporting.blocks import Block, Page, Table
from lesiongen.reporting.images import data_uri

__all__ = ["format_value", "render"]


def render(page: Page) -> str:
    """Returns the page as one HTML file that loads nothing: style and images are inside it.

    Every text of the page is escaped, whatever it holds, and no text holds a secret.
    """
    anchors = _anchors([section.title for section in page.sections])
    sections = list(zip(anchors, page.sections, strict=True))
    return _environment().get_template("page.html").render(page=page, sections=sections)


@cache
def _environment() -> Environment:
    loader = PackageLoader("lesiongen.reporting")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_fit
    )
    environment.filters.update(shown=format_value, data_uri=data_uri, numeric=_numeric_columns)
    style = Markup(loader.get_source(environment, "style.css")[0])  # noqa: S704 - a file of this package
    environment.globals.update(style=style, version=__version__, kind_of=_kind)
    return environment


def _fit(value: object) -> object:
    """Takes secrets, and characters that turn a line round, out of what a page shows; images are passed by."""
    is_text = isinstance(value, str) and not isinstance(value, Markup) and not value.startswith("data:image/")
    return shown(value) if is_text else value


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def format_value(value: object) -> str:
    """Writes a cell: a dash for nothing, yes or no, thousands set apart, four significant digits."""
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        number = float(value)
        return f"{number:.3f}" if 0.001 <= abs(number) < 1000 or number == 0 else f"{number:.4g}"
    return str(value)


def _numeric_columns(table: Table) -> list[bool]:
    """Says of each column whether all that it shows are numbers."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    return [_all_numbers([cell for cell in column if cell is not None]) for column in columns]


def _all_numbers(cells: list[object]) -> bool:
    return bool(cells) and all(isinstance(cell, Real) and not isinstance(cell, bool) for cell in cells)


def _anchors(titles: list[str]) -> list[str]:
    words = (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in titles)
    return [f"{number}-{word}" for number, word in enumerate(words, start=1)]
