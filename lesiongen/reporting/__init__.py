"""The frame of every HTML report: one self-contained page made of sections and blocks."""

from lesiongen.reporting.blocks import Block, Callout, Facts, Figure, Page, Section, Table, Text
from lesiongen.reporting.images import figure_image
from lesiongen.reporting.markdown import render_markdown
from lesiongen.reporting.rendering import render

__all__ = [
    "Block",
    "Callout",
    "Facts",
    "Page",
    "Figure",
    "Section",
    "Table",
    "Text",
    "figure_image",
    "render",
    "render_markdown",
]
