"""The frame of every HTML report: one self-contained page made of sections and blocks."""

from lesiongen.reporting.blocks import Block, Callout, Facts, Page, Picture, Section, Table, Text
from lesiongen.reporting.pictures import figure_picture
from lesiongen.reporting.rendering import render

__all__ = [
    "Block",
    "Callout",
    "Facts",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Text",
    "figure_picture",
    "render",
]
