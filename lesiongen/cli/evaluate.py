"""``lesiongen evaluate``: what synthetic images are worth."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli import evaluate_options as options
from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    named_datasets,
    print_json,
    require_datasets,
)
from lesiongen.errors import UsageError

if TYPE_CHECKING:
    from lesiongen.evaluation import EvaluationResult

__all__ = ["evaluate_command"]


def evaluate_command(
    real: options.Real,
    output: options.Output,
    synthetic: options.Synthetic = None,
    sweep: options.Sweep = None,
    reconstructed: options.Reconstructed = None,
    test: options.TestSets = None,
    classifier: options.Classifiers = None,
    protocol: options.Protocol = None,
    control: options.Controls = None,
    control_images: options.ControlImages = None,
    label_only_images: options.LabelOnlyImages = None,
    extractor: options.Extractor = None,
    n_seeds: Annotated[int | None, typer.Option(help="Classifiers trained per condition.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each classifier.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same numbers.")] = None,
    real_images: options.RealImages = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Train classifiers on real, synthetic and both, and test them on the real test split.

    Writes report.html, evaluation.json, drift.html, pictures/ and the best classifier. The numbers come with
    intervals over test lesions, corrected tests, groups of patients, concepts asked and shown, fidelity, near copies
    and drift.

    Examples:
      lesiongen evaluate --real captioned --synthetic synthetic --output evaluation

      lesiongen evaluate --real captioned --synthetic synthetic --reconstructed reconstructed --output evaluation

      lesiongen evaluate --real s3://data/real --synthetic s3://data/made --output out --set worst_group=sex=female

      lesiongen evaluate --real captioned --synthetic synthetic --output out --classifier small --classifier lite0

      lesiongen evaluate --real captioned --synthetic synthetic --output out --protocol concat --control permuted-labels

      lesiongen evaluate --real captioned --sweep sweep --output evaluation

      lesiongen evaluate --real captioned --synthetic synthetic --output evaluation --set concept_scorer=path/to/clip

      lesiongen evaluate --real captioned --synthetic synthetic --output out --test pad=pad_ufes_20 --test isic=isic2017

      lesiongen evaluate --real captioned --synthetic synthetic --output out --extractor hub:facebook/dinov2-base
    """
    from lesiongen.config import parse_config
    from lesiongen.evaluation import EvaluateConfig

    flags = {
        "classifiers": classifier or None,
        "protocol": protocol,
        "controls": control or None,
        "control_images": control_images,
        "label_only_images": label_only_images,
        "fidelity_extractor": extractor,
        "n_seeds": n_seeds,
        "steps": steps,
        "seed": seed,
        "allow_real_images": real_images,
    }
    fields = chosen_fields(values, flags)
    if sweep is not None:
        from lesiongen.evaluation.sweeping.choice import with_choice

        fields, chosen_images = with_choice(sweep, fields)
        synthetic = synthetic or chosen_images
    if synthetic is None:
        raise UsageError("missing option --synthetic", hint="Name the synthetic images, or a sweep with --sweep.")
    config = parse_config(EvaluateConfig, fields)
    test_sets = named_datasets(test)
    require_datasets(real, synthetic, reconstructed, *config.control_datasets.values(), *test_sets.values())
    from lesiongen.evaluation import evaluate

    result = evaluate(config, real, synthetic, output, reconstructed, sweep, test_sets)
    if as_json:
        print_json({**result.reference.model_dump(), "report": result.report})
    else:
        _show(result)


def _show(result: "EvaluationResult") -> None:
    from lesiongen.records.text import number

    for name, scores in result.evaluation.utility.items():
        score = scores.balanced_accuracy
        interval = f"{number(score.low)} to {number(score.high)}"
        console.print(f"{name}: balanced accuracy {number(score.mean)} ({interval})")
    for other, further in result.evaluation.further_classifiers.items():
        means = [f"{condition} {number(each.balanced_accuracy.mean)}" for condition, each in further.utility.items()]
        console.print(f"classifier {other}: balanced accuracy {', '.join(means)}")
    for of_control, control in result.evaluation.controls.items():
        score, difference = control.scores.balanced_accuracy, control.both_vs_control.difference
        console.print(
            f"control {of_control}: balanced accuracy {number(score.mean)}, both less this {number(difference)}"
        )
    for test_set, found in result.evaluation.test_sets.items():
        means = [f"{condition} {number(each.balanced_accuracy.mean)}" for condition, each in found.utility.items()]
        console.print(f"test set {test_set}: balanced accuracy {', '.join(means)}", markup=False)
    console.print(f"Report: {result.report}")
