"""``lesiongen crossfit``: an evaluation on every image of a dataset."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.compile_options import Preset
from lesiongen.cli.options import ConfigFile, Json, console, given, joined_fields, print_json, set_values

if TYPE_CHECKING:
    from lesiongen.crossfit import CrossfitConfig, CrossfitResult, StageConfigs

__all__ = ["crossfit_command"]

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.FIELD=VALUE",
        help="Change a field of the preset: finetune.max_train_steps=200 or crossfit.validation_share=0.2, for "
        "example. Repeatable.",
    ),
]


def crossfit_command(
    dataset: Annotated[str, typer.Argument(help="The real images: a folder or s3:// prefix; its splits play no part.")],
    output: Annotated[
        str, typer.Option(help="Folder or s3:// prefix: a new one, or that of an earlier call, which is resumed.")
    ],
    folds: Annotated[int | None, typer.Option(help="Number of folds, 5 unless the preset says otherwise.")] = None,
    preset: Preset = "tiny",
    name: Annotated[str | None, typer.Option(help="Name of the evaluation.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds and of every stage.")] = 0,
    fold: Annotated[
        list[int] | None,
        typer.Option(help="Only this fold, on one of several machines that share the output. Repeatable."),
    ] = None,
    real_images: Annotated[
        bool, typer.Option("--real-images/--no-real-images", help="Show real images on the pages, or leave them out.")
    ] = True,
    changes: Changes = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Test on every image of a dataset, each time with a generator and classifiers that never saw it.

    The dataset is divided into folds that share no lesion and no patient. For each fold, a generator learns from the
    other folds, and classifiers from their real images, from synthetic ones and from both; they are tested on the fold.
    All folds together are then scored and compared. Repeat the same command to resume.

    Examples:
      lesiongen crossfit data/ham10000 --folds 5 --preset tiny --output crossfit

      lesiongen crossfit s3://bucket/ham10000 --output s3://bucket/crossfit --fold 2
    """
    config, stages = _configs(
        preset, seed, given({"folds": folds, "name": name}), changes, allow_real_images=real_images
    )
    from lesiongen.crossfit import crossfit

    result = crossfit(config, stages, dataset, output, only=fold or ())
    if isinstance(result, tuple):
        _show_missing(result, output, as_json=as_json)
    elif as_json:
        print_json({"uri": result.uri, "report": result.report, **result.metrics})
    else:
        _show(result)


def _configs(
    preset: str, seed: int, own: dict[str, object], changes: list[str] | None, *, allow_real_images: bool
) -> "tuple[CrossfitConfig, StageConfigs]":
    from lesiongen.config import parse_config
    from lesiongen.crossfit import CrossfitConfig, StageConfigs
    from pipelines.definition import find_pipeline
    from pipelines.presets import preset as values_of_preset
    from pipelines.runs import changed_configs

    given_values = set_values(changes)
    joined_fields(given_values.get("crossfit", {}), own, "crossfit.")
    values = changed_configs(find_pipeline("crossfit"), values_of_preset(preset), given_values)
    seeded = {section: {"seed": seed, **fields} for section, fields in values.items()}
    hidden = {} if allow_real_images else {"allow_real_images": False}
    from lesiongen.captions import CaptionConfig
    from lesiongen.diffusion import FinetuneConfig, ReconstructConfig, SampleConfig
    from lesiongen.evaluation import EvaluateConfig

    stages = StageConfigs(
        caption=parse_config(CaptionConfig, {**seeded["caption"], **hidden}),
        finetune=parse_config(FinetuneConfig, seeded["finetune"]),
        sample=parse_config(SampleConfig, seeded["sample"]),
        reconstruct=parse_config(ReconstructConfig, values["reconstruct"]),
        evaluate=parse_config(EvaluateConfig, {**seeded["evaluate"], **hidden}),
    )
    return parse_config(CrossfitConfig, {**seeded["crossfit"], **own}), stages


def _show_missing(folds: tuple[int, ...], output: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"uri": output, "missing": list(folds)})
    else:
        console.print(f"Not evaluated yet: fold {', '.join(map(str, folds))}.", markup=False)
        console.print(f"Repeat the command with the same --output: {output}", markup=False)


def _show(result: "CrossfitResult") -> None:
    from lesiongen.records.text import number

    pooled = result.record.pooled
    for name, scores in pooled.utility.items():
        score = scores.balanced_accuracy
        console.print(f"{name}: balanced accuracy {number(score.mean)} ({number(score.low)} to {number(score.high)})")
    for entry in pooled.comparisons:
        if entry.not_computed:
            continue
        console.print(
            f"{entry.name}: difference {number(entry.difference, '+.3f')} ({number(entry.low, '+.3f')} to "
            f"{number(entry.high, '+.3f')}), p (Holm) {number(entry.p_holm, '.3g')}; "
            f"{number(result.record.detectable[entry.name])} could be found"
        )
    console.print(f"Report: {result.report}", markup=False)
