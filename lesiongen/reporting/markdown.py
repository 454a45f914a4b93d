"""Turning a page into Markdown, for places that show no HTML, such as a model repository."""

import re
from collections.abc import Sequence

from lesiongen.redaction import shown
from lesiongen.reporting.blocks import Block, Callout, Facts, Figure, Page, Section, Table, Text
from lesiongen.reporting.rendering import format_value

__all__ = ["render_markdown"]

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~$&])")
_START_OF_LINE = re.compile(r"^(\s*)([-+=]|\d+[.)](?=\s))", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
"""Four spaces would make a line code, in which the escapes are shown."""
_LABELS = {"good": "Note", "info": "Note", "warning": "Warning", "error": "Error"}


def render_markdown(page: Page) -> str:
    """Returns the page as Markdown (GitHub's, which Hugging Face shows); pictures are left out, their captions stay.

    Every text of the page is escaped, whatever it holds, and no text holds a secret; an address may become a link.
    """
    head = [f"# {_line(page.title)}", _text(page.subtitle)]
    parts = [part for section in page.sections for part in _section(section)]
    return "\n\n".join(part for part in [*head, *parts] if part) + "\n"


def _section(section: Section) -> list[str]:
    note = f" ({_line(section.note)})" if section.note else ""
    return [f"## {_line(section.title)}{note}", *(_block(block) for block in section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Facts():
            return "\n".join(f"- {_line(name)}: {_cell(value)}" for name, value in block.values.items())
        case Callout():
            return f"> **{_LABELS[block.kind]}:** {_line(block.text)}"
        case Figure():
            return _text(block.caption)
        case Text():
            return _text(block.text)


def _table(table: Table) -> str:
    caption = [f"{_text(table.caption)}\n"] if table.caption else []
    lines = [_row([_line(column) for column in table.columns]), _row(["---"] * len(table.columns))]
    return "\n".join([*caption, *lines, *(_row([_cell(cell) for cell in row]) for row in table.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    return _line(format_value(value))


def _line(text: str) -> str:
    return " ".join(_escaped(text).split())


def _text(text: str) -> str:
    flush = _INDENT.sub("", _escaped(text))
    return _START_OF_LINE.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", flush)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", shown(text))
