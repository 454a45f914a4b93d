"""``lesiongen caption``: write the reports and captions of a dataset."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    PartOfJob,
    Values,
    Work,
    chosen_fields,
    console,
    print_json,
)
from lesiongen.cli.vision_language import (
    AllowUpload,
    DryRun,
    VlmCache,
    VlmModel,
    VlmUrl,
    show_estimate,
    with_vision_language,
)

if TYPE_CHECKING:
    from lesiongen.captions import CaptionConfig, CaptionResult

__all__ = ["caption_command", "show_captions"]


SourceDataset = Annotated[str, typer.Argument(help="The dataset: a folder or s3:// prefix.")]
Output = Annotated[str, typer.Option(help="A new folder or s3:// prefix for the captioned dataset.")]
Writers = Annotated[
    str | None, typer.Option(help="Who may fill the report, by commas: expert, metadata, measured, vision-language.")
]
LabelOnly = Annotated[
    bool | None, typer.Option("--label-only", help="The ablation: captions name the diagnosis and nothing else.")
]
Tokenizer = Annotated[
    str | None, typer.Option(help="The text encoder's: tiny, a folder, an s3:// prefix or a hub name.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Longest caption, special tokens included.")]
Seed = Annotated[int | None, typer.Option(help="The same seed chooses the same wordings.")]
Name = Annotated[
    str | None, typer.Option(help="Name of the captioned dataset; by default the dataset's, with -captioned.")
]
Preview = Annotated[
    int | None, typer.Option(metavar="N", help="Show N images with outline, caption and evidence on a page.")
]
RealImages = Annotated[
    bool | None, typer.Option("--real-images/--no-real-images", help="Show real patients' images in the preview.")
]


def caption_command(
    dataset: SourceDataset,
    output: Output,
    writer: Writers = None,
    label_only: LabelOnly = None,
    tokenizer: Tokenizer = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    name: Name = None,
    preview: Preview = None,
    real_images: RealImages = None,
    part: PartOfJob = None,
    work: Work = None,
    vlm_model: VlmModel = None,
    vlm_url: VlmUrl = None,
    vlm_cache: VlmCache = None,
    allow_upload: AllowUpload = None,
    dry_run: DryRun = False,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write each image's twelve-entry report and its caption, within the text encoder's token budget.

    Every entry carries its source; nothing is stated without evidence, and what does not fit is counted. Stopped by
    SIGTERM or Ctrl-C, it keeps what is finished and exits with 75; the same command resumes from there.

    Examples:
      lesiongen caption data/ham10000 --output data/ham10000-captioned --preview 20

      lesiongen caption data/ham10000 --output data/ham10000-labels --label-only

      lesiongen caption data/ham10000 --output data/ham10000-seen --vlm-model HuggingFaceTB/SmolVLM-500M-Instruct
    """
    from lesiongen.captions import CaptionConfig, caption
    from lesiongen.config import parse_config
    from lesiongen.dataset import Part

    chosen = {
        "writers": tuple(each.strip() for each in writer.split(",")) if writer else None,
        "label_only": label_only,
        "tokenizer": tokenizer,
        "max_tokens": max_tokens,
        "seed": seed,
        "name": name,
        "preview": preview,
        "allow_real_images": real_images,
    }
    seen = {"model": vlm_model, "url": vlm_url, "cache": vlm_cache, "allow_upload": allow_upload or None}
    settings = parse_config(CaptionConfig, with_vision_language(chosen_fields(values, chosen), seen))
    if dry_run:
        _dry_run(settings, dataset, part, as_json)
        return
    result = caption(settings, dataset, output, part=Part.parse(part) if part else None, work=work)
    if as_json:
        _print_json(result)
    else:
        show_captions(result)


def _print_json(result: "CaptionResult") -> None:
    counts = result.counts.model_dump(mode="json") | {"coverage": result.counts.coverage()}
    print_json(
        {"dataset": result.dataset.model_dump(), "counts": counts, "page": result.page, "preview": result.preview}
    )


def _dry_run(settings: "CaptionConfig", dataset: str, part: str | None, as_json: bool) -> None:
    from lesiongen.captions.vision_language.estimate import estimate
    from lesiongen.dataset import Dataset, Part

    rows = Part.parse(part).rows(len(Dataset.open(dataset))) if part else None
    found = estimate(settings.vision_language, dataset, rows)
    if as_json:
        print_json(found.plain())
    else:
        show_estimate(found)


def show_captions(result: "CaptionResult") -> None:
    """Prints what came of captioning."""
    counts = result.counts
    console.print(f"{result.dataset.uri}: {result.dataset.rows:,} captions", markup=False)
    longest = f"the longest {counts.longest} of the {counts.budget} that are allowed"
    console.print(f"  length: {counts.mean_tokens:.1f} tokens on average, {longest}")
    console.print("  what is known of the images, of what share of them, and from where:")
    for entry, sources in counts.coverage().items():
        shares = ", ".join(f"{share:.0%} {source}" for source, share in sources.items())
        console.print(f"    {_words(entry)}: {shares}", markup=False)
    if counts.dropped:
        full = (f"{_words(entry)} ({count:,})" for entry, count in counts.dropped.most_common())
        console.print(f"  left out of captions that were full: {', '.join(full)}", markup=False)
    if counts.checks.entries:
        found = (f"{check} ({sum(entries.values()):,})" for check, entries in counts.checks.entries.items())
        console.print(f"  found by the checks, in {counts.checks.affected:,} images: {', '.join(found)}", markup=False)
    if counts.checks.rejected:
        console.print(f"  rejected by the checks: {counts.checks.rejected:,} captions, which name the diagnosis alone")
    console.print(f"  report: {result.page}", markup=False)
    if result.preview:
        console.print(f"  preview: {result.preview}", markup=False)


def _words(entry: str) -> str:
    return entry.replace("_", " ")
