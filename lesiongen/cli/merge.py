"""``lesiongen merge``: combine datasets."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, given, print_json

if TYPE_CHECKING:
    from lesiongen.dataset import Dataset
    from lesiongen.records.merge import MergeReport
    from lesiongen.references import DatasetReference

__all__ = ["merge_command"]


class Duplicates(StrEnum):
    """What happens to images that several datasets show."""

    drop = "drop"
    keep = "keep"
    fail = "fail"


def merge_command(
    datasets: Annotated[list[str], typer.Argument(help="Two datasets or more: folders or s3:// prefixes.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the merged dataset.")],
    name: Annotated[str | None, typer.Option(help="Name of the merged dataset.")] = None,
    duplicates: Annotated[
        Duplicates | None,
        typer.Option(help="Drop what several datasets have or would leak across splits, keep it, or fail."),
    ] = None,
    real_images: Annotated[
        bool | None, typer.Option("--real-images/--no-real-images", help="Show real patients' images in the report.")
    ] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Combine datasets into one: splits, sources and licences are kept row by row, shared images are found.

    Of an image that several datasets show, the one of the dataset named first is kept, in the strictest of its
    splits. Parts of one job (--part) are joined to the dataset that the job makes.

    Examples:
      lesiongen merge data/ham10000 data/isic2017 --output data/dermoscopy

      lesiongen merge data/ham10000 data/isic2017 --output data/dermoscopy --duplicates fail

      lesiongen merge captioned-1 captioned-2 --output captioned
    """
    from lesiongen.config import parse_config
    from lesiongen.dataset import Dataset, part_of
    from lesiongen.errors import UsageError
    from lesiongen.merging import PAGE_NAME, MergeConfig, merge

    opened = [Dataset.open(uri) for uri in datasets]
    if any(part_of(dataset) for dataset in opened):
        if name or duplicates or real_images is not None:
            raise UsageError("--name, --duplicates and --real-images have no effect with the parts of one job")
        reference, report = _join(opened, output), None
    else:
        chosen = {"name": name, "duplicates": duplicates and duplicates.value, "allow_real_images": real_images}
        result = merge(parse_config(MergeConfig, given(chosen)), datasets, output)
        reference, report = result.dataset, result.report
    if as_json:
        print_json(reference.model_dump() | ({"merge": report.content()} if report else {}))
        return
    console.print(f"{reference.uri}: {reference.rows:,} images", markup=False)
    if report:
        _show(report)
        console.print(f"report: {reference.uri}/{PAGE_NAME}", markup=False)


def _join(parts: list["Dataset"], output: str) -> "DatasetReference":
    """Publishes the parts of a job, with the report or the contact sheet that the stage writes of the whole."""
    from lesiongen.dataset import join_parts

    uris = [part.uri for part in parts]
    stage = parts[0].manifest.origin.stage
    if stage == "caption":
        from lesiongen.captions import join_captions

        return join_captions(uris, output).dataset
    if stage == "sample":
        from lesiongen.diffusion import join_samples

        return join_samples(uris, output).dataset
    return join_parts(parts, output, name=parts[0].manifest.name).reference()


def _show(report: "MergeReport") -> None:
    for source, splits in report.sources.items():
        counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        console.print(f"  {source}: {counts}", markup=False)
    exact = sum(pair.kind == "exact" for pair in report.duplicates)
    near = len(report.duplicates) - exact
    console.print(f"  in several datasets: {exact:,} images exactly, {near:,} nearly", markup=False)
    if report.dropped:
        console.print(f"  left out: {len(report.dropped):,} images", markup=False)
    if report.leaks_kept:
        text = f"  {report.leaks_kept:,} groups of images are in several splits: a leak"
        console.print(text, style="red", markup=False)
    if report.label_conflicts:
        text = f"  {report.label_conflicts:,} images have another diagnosis in another dataset"
        console.print(text, style="yellow", markup=False)
    if report.overlapping_classes:
        console.print(f"  {report.overlapping_classes}", style="yellow", markup=False)
    console.print(f"  licence: {report.licence}", markup=False)
    for conflict in report.licence_conflicts:
        console.print(f"  licence conflict: {conflict}", style="red", markup=False)
