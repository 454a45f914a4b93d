"""``lesiongen caption``: write the reports and captions of a dataset."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, Values, console, given, print_json, set_values

if TYPE_CHECKING:
    from lesiongen.captions import CaptionResult

__all__ = ["caption_command"]


def caption_command(
    dataset: Annotated[str, typer.Argument(help="The dataset: a folder or s3:// prefix.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the captioned dataset.")],
    writer: Annotated[
        str | None, typer.Option(help="Who may fill the report: expert, metadata, measured; separated by commas.")
    ] = None,
    label_only: Annotated[
        bool | None, typer.Option("--label-only", help="The ablation: captions name the diagnosis and nothing else.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="The text encoder's: tiny, a folder, an s3:// prefix or a hub name.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest caption, special tokens included.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed chooses the same wordings.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the captioned dataset.")] = None,
    preview: Annotated[
        int | None, typer.Option(metavar="N", help="Show N images with outline, caption and evidence on a page.")
    ] = None,
    real_images: Annotated[
        bool | None, typer.Option("--real-images/--no-real-images", help="Show real patients' images in the preview.")
    ] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write each image's twelve-entry report and its caption, within the text encoder's token budget.

    Every entry carries its source; nothing is stated without evidence, and what does not fit is counted.

    Examples:
      lesiongen caption data/ham10000 --output data/ham10000-captioned --preview 20

      lesiongen caption data/ham10000 --output data/ham10000-labels --label-only
    """
    from lesiongen.captions import CaptionConfig, caption
    from lesiongen.config import parse_config

    chosen = {
        "writers": tuple(part.strip() for part in writer.split(",")) if writer else None,
        "label_only": label_only,
        "tokenizer": tokenizer,
        "max_tokens": max_tokens,
        "seed": seed,
        "name": name,
        "preview": preview,
        "allow_real_images": real_images,
    }
    result = caption(parse_config(CaptionConfig, set_values(values) | given(chosen)), dataset, output)
    if as_json:
        print_json(vars(result) | {"dataset": result.dataset.model_dump()})
        return
    _show(result)


def _show(result: "CaptionResult") -> None:
    tokens = result.tokens
    console.print(f"{result.dataset.uri}: {result.dataset.rows:,} captions", markup=False)
    console.print(f"  tokens: {tokens['mean']:.1f} on average, {tokens['longest']:.0f} of {tokens['budget']:.0f}")
    for entry, sources in result.coverage.items():
        shares = ", ".join(f"{source} {share:.0%}" for source, share in sources.items())
        console.print(f"  {entry}: {shares}", markup=False)
    for title, counts in (("dropped", result.dropped), ("contradictions", result.contradictions)):
        if counts:
            console.print(f"  {title}: {', '.join(f'{key} {count:,}' for key, count in counts.items())}", markup=False)
    if result.preview:
        console.print(f"  preview: {result.preview}", markup=False)
