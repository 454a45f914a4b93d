"""The options of ``lesiongen caption`` that concern the vision-language writer."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import console, given, joined_fields

if TYPE_CHECKING:
    from lesiongen.captions.vision_language.estimate import Estimate

__all__ = ["AllowUpload", "DryRun", "VlmCache", "VlmModel", "VlmUrl", "show_estimate", "with_vision_language"]

VlmModel = Annotated[
    str | None,
    typer.Option(
        help="Let this vision-language model look at every image: the endpoint's name of it or, without --vlm-url, a "
        "folder, an s3:// prefix or a hub name."
    ),
]
VlmUrl = Annotated[
    str | None,
    typer.Option(help="An OpenAI-compatible endpoint, with /v1; its key is read from LESIONGEN_VLM_API_KEY alone."),
]
VlmCache = Annotated[
    str | None, typer.Option(help="Folder or s3:// prefix that keeps the model's answers; needed with --vlm-url.")
]
AllowUpload = Annotated[
    list[str] | None,
    typer.Option(metavar="SOURCE", help="A data set whose images may leave this machine; repeatable."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be sent and what it would cost; send and write nothing.")
]


_PRICES = "--set vision_language.price_input=…, --set vision_language.price_output=…"


def with_vision_language(values: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Puts the flags into the configuration's field; the writer joins the default ones where none are named.

    Args:
        values: The stage's other values.
        flags: Fields of the writer's configuration, None where they were not given.
    """
    if not (chosen := given(flags)):
        return values
    from lesiongen.captions import CaptionConfig

    fields = joined_fields(values.get("vision_language") or {}, chosen, "vision_language.")
    writers = values.get("writers") or (*CaptionConfig.model_fields["writers"].default, "vision-language")
    return values | {"writers": writers, "vision_language": fields}


def show_estimate(estimate: "Estimate") -> None:
    """Prints a dry run's findings."""
    where = "leave this machine" if estimate.leaves else "stay on this machine"
    console.print(f"{estimate.host}: images {where}; nothing was sent", markup=False)
    console.print(f"  images: {estimate.images:,}, of which answered already: {estimate.answered:,}")
    console.print(f"  requests: {estimate.requests:,}, and one more for each answer that cannot be used")
    console.print(
        f"  tokens: about {estimate.prompt_tokens:,} in prompts, at most {estimate.answer_tokens:,} in answers"
    )
    if estimate.cost is None:
        console.print(f"  cost: unknown, as no prices were given ({_PRICES})")
    else:
        console.print(f"  cost: at most about {estimate.cost:,.2f}, at the configured prices")
    for source, count in estimate.forbidden.items():
        console.print(f"  not allowed to leave: {source} ({count:,} images)", markup=False)
    if estimate.unknown:
        console.print(f"  {estimate.unknown}", markup=False)
