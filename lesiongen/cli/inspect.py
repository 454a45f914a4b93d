"""``lesiongen inspect``: what a dataset holds."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image
    from rich.text import Text

    from lesiongen.inspection import Drawn, Inspection

__all__ = ["inspect_command"]

ON_PAGE, IN_TERMINAL = 8, 4
CELLS = 14
"""Columns of an image in the terminal; a character shows two pixels, one above the other."""
LONGEST = 12
"""Most rows of a table in the terminal."""


def inspect_command(
    dataset: Annotated[str, typer.Argument(help="The dataset: a folder or s3:// prefix.")],
    report: Annotated[
        str | None, typer.Option(help="Write the page with counts and images: a file named .html.")
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Show images in the terminal.")] = True,
    real_images: Annotated[
        bool, typer.Option("--real-images/--no-real-images", help="Show real patients' images.")
    ] = True,
    seed: Annotated[int, typer.Option(help="The same seed draws the same images.")] = 0,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what a dataset holds: classes, subgroups, splits, sources, licences, and some of its images.

    Counts are read without pixels.

    Examples:
      lesiongen inspect data/ham10000

      lesiongen inspect data/ham10000 --report ham10000.html --no-real-images
    """
    from lesiongen.inspection import draw_images, inspect_dataset

    inspection = inspect_dataset(dataset)
    if report:
        drawn = draw_images(dataset, per_cell=ON_PAGE, seed=seed, allow_real_images=real_images)
        report = _write(report, inspection, drawn)
    if as_json:
        print_json(inspection.summary())
        return
    _show(inspection)
    if images and console.is_terminal and console.color_system:
        _show_images(draw_images(dataset, per_cell=IN_TERMINAL, seed=seed, allow_real_images=real_images))
    if report:
        console.print(f"report: {report}", markup=False)


def _write(report: str, inspection: "Inspection", drawn: "Drawn") -> str:
    """Writes the page and returns where it lies."""
    from lesiongen.errors import UsageError
    from lesiongen.inspection import inspection_page
    from lesiongen.reporting import render
    from lesiongen.storage import open_storage

    folder, _, name = report.rpartition("/")
    if not name.endswith(".html"):
        raise UsageError(f"--report {report}: name a file that ends in .html")
    storage = open_storage(folder or ".")
    storage.write_text(name, render(inspection_page(inspection, drawn)))
    return f"{storage.uri}/{name}"


def _show(inspection: "Inspection") -> None:
    manifest = inspection.manifest
    known = {name: getattr(inspection, name) for name in ("lesions", "patients", "synthetic", "reconstructions")}
    counted = ", ".join(f"{count:,} {name}" for name, count in known.items() if count)
    console.print(f"{manifest.name}: {manifest.rows:,} images{', ' + counted if counted else ''}", markup=False)
    console.print(f"{inspection.uri}, version {manifest.version[:12]}, made {manifest.created}", markup=False)
    console.print(f"licence: {manifest.licence or 'not stated'}", markup=False)
    for conflict in inspection.licence_conflicts:
        console.print(f"licence conflict: {conflict}", style="red", markup=False)
    console.print(f"attribution: {manifest.attribution or 'not stated'}", markup=False)
    _table("diagnosis", inspection.images, total=True)
    for name, counts in inspection.subgroups.items():
        _table(name.replace("_", " "), counts)
    if len(inspection.licences) > 1:
        _table("licence", inspection.licences)
    if absent := [name.replace("_", " ") for name, count in inspection.coverage.items() if not count]:
        console.print(f"Recorded for no image: {', '.join(absent)}", markup=False)
    if partly := [
        f"{name.replace('_', ' ')} {count / manifest.rows:.0%}"
        for name, count in inspection.coverage.items()
        if 0 < count < manifest.rows
    ]:
        console.print(f"Recorded for some: {', '.join(partly)}", markup=False)


def _table(head: str, counts: "pd.DataFrame", *, total: bool = False) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from lesiongen.inspection import NOT_RECORDED

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=total)
    table.add_column(head, "all" if total else "", overflow="fold")
    for split in counts.columns:
        table.add_column(str(split), f"{counts[split].sum():,}", justify="right")
    table.add_column("all", f"{counts.to_numpy().sum():,}", justify="right")
    known = counts.drop(index=NOT_RECORDED, errors="ignore")
    for name, row in known.head(LONGEST).iterrows():
        table.add_row(escape(str(name)), *_cells(row))
    if len(known) > LONGEST:
        table.add_row(f"{len(known) - LONGEST} more", *_cells(known.iloc[LONGEST:].sum()), style="dim")
    if len(known) < len(counts):
        table.add_row(NOT_RECORDED, *_cells(counts.loc[NOT_RECORDED]), style="dim")
    console.print(table, soft_wrap=False)


def _cells(row: "pd.Series[int]") -> list[str]:
    return [*(f"{count:,}" for count in row), f"{row.sum():,}"]


def _show_images(drawn: "Drawn") -> None:
    """Prints a line of images for each class, as wide as the terminal."""
    from rich.text import Text

    fitting = max(1, (console.width + 1) // (CELLS + 1))
    for diagnosis in sorted({diagnosis for diagnosis, _ in drawn}):
        images = [image for cell, shown in drawn.items() if cell[0] == diagnosis for _, image in shown]
        console.print(diagnosis, markup=False)
        for lines in zip(*map(_half_blocks, images[:fitting]), strict=True):
            console.print(Text(" ").join(lines))


def _half_blocks(image: "Image") -> list["Text"]:
    """Draws an image in characters that are half foreground, half background: CELLS wide, half as many lines."""
    import numpy as np
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    from lesiongen.imaging import square

    colours = [Color.from_rgb(*pixel) for pixel in np.asarray(square(image, CELLS)).reshape(-1, 3)]
    rows = [colours[start : start + CELLS] for start in range(0, CELLS * CELLS, CELLS)]
    return [
        Text.assemble(*(("▀", Style(color=upper, bgcolor=lower)) for upper, lower in zip(*pair, strict=True)))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]
