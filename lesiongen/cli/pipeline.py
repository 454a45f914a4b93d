"""``lesiongen pipeline``: compile a pipeline, run it on this machine, or submit it to Kubeflow Pipelines."""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli import kubeflow
from lesiongen.cli.compile_options import (
    DEFAULT_IMAGE,
    Accelerator,
    AcceleratorCount,
    CacheIngest,
    CaptionParts,
    FinetuneNamespace,
    FinetuneNodes,
    FinetuneRuntime,
    Image,
    PipelineCommand,
    PipelineName,
    Preset,
    RealImages,
    SampleParts,
    SettingsFile,
    compile_settings,
)
from lesiongen.cli.options import (
    ConfigFile,
    Json,
    print_json,
    set_values,
    summary,
    with_addresses,
    with_examples,
)
from lesiongen.cli.variables import Command
from lesiongen.errors import UsageError
from lesiongen.redaction import shown

if TYPE_CHECKING:
    from pipelines.runs import RunRequest

__all__ = ["app", "compile_command", "run_command"]

app = typer.Typer(
    no_args_is_help=True,
    help="Go through all stages at once, on this machine (run) or on Kubeflow Pipelines (submit).",
    short_help="Go through all stages at once, on this machine or on Kubeflow Pipelines.",
)

_NAMING_PIPELINES = {"compile", "run", "submit", "schedule"}
_RESUMING = {"resume", "home", "as_json", "config"}
_FLAGS = {"collections": "--collection"}
"""The flags that are not called as the field of the request that they fill."""


def compile_command(
    context: typer.Context,
    output: Annotated[str, typer.Option(help="The file to write, named .yaml.")],
    name: PipelineName = "release",
    preset: Preset = "tiny",
    image: Image = DEFAULT_IMAGE,
    accelerator: Accelerator = None,
    accelerator_count: AcceleratorCount = 1,
    cache_ingest: CacheIngest = False,
    finetune_nodes: FinetuneNodes = None,
    finetune_runtime: FinetuneRuntime = None,
    finetune_namespace: FinetuneNamespace = None,
    caption_parts: CaptionParts = None,
    sample_parts: SampleParts = None,
    allow_real_images: RealImages = True,
    settings: SettingsFile = None,
    config: ConfigFile = None,
) -> None:
    """Write a pipeline as the YAML package that Kubeflow Pipelines takes.

    Examples:
      lesiongen pipeline compile release --output release.yaml --image registry.example/lesiongen:1.0

      lesiongen pipeline compile release --output release.yaml --settings cluster.yaml

      lesiongen pipeline compile merge --output merge.yaml
    """
    from pipelines.compiling import compile_pipeline

    path = compile_pipeline(name, compile_settings(context.params), output)
    typer.echo(f"{name} is written to {path} ({path.stat().st_size / 1000:.0f} kB)")


Source = Annotated[
    str | None, typer.Option(help="Folder, zip or tar archive, or s3:// address with images and a table.")
]
Format = Annotated[
    str | None,
    typer.Option(help="The collection, which says how its table is read; `lesiongen datasets` lists them."),
]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        metavar="NAME=FORMAT:SOURCE",
        help="For the pipeline merge: a collection's name, its format and where it is. Repeatable; of an image that "
        "several show, the copy of the one given first is kept.",
    ),
]
Reference = Annotated[str | None, typer.Option(help="For drift: the dataset that the new images are compared with.")]
Real = Annotated[str | None, typer.Option(help="For evaluate: the dataset of real images, with its three splits.")]
Synthetic = Annotated[str | None, typer.Option(help="For evaluate: the dataset of synthetic images.")]
Model = Annotated[str | None, typer.Option(help="For synthesise: the model, a folder or s3:// prefix.")]
CaptionedDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="For synthesise: the captioned dataset whose captions are used. For crossfit: the dataset of real images.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        help="Name of the data, the model and the release. Default: lesions (merge: merged, drift: incoming, "
        "evaluate: evaluation)."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every stage.")]
Runner = Annotated[
    str, typer.Option(help="Where the steps run: subprocess, as processes here, or docker, in containers of --image.")
]
Root = Annotated[
    str | None,
    typer.Option(
        help="Below this everything that the run makes is stored; s3://lesiongen/PIPELINE (s3://lesiongen/release, for "
        "example) unless given."
    ),
]
SourceRevision = Annotated[
    str | None, typer.Option(help="State of the source; by default the names, sizes and times of its files.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.FIELD=VALUE",
        help="Change a field of the preset, for example finetune.max_train_steps=200 or gates.min_seeds=3; an unknown "
        "field's error lists all. Repeatable.",
    ),
]
Home = Annotated[str, typer.Option(envvar="LESIONGEN_HOME", help="Folder of the embedded servers and the runs.")]
Resume = Annotated[
    str | None, typer.Option(help="Resume a run that was stopped: its id, or latest; nothing else is needed.")
]


def run_command(
    context: typer.Context,
    pipeline: PipelineName = "release",
    source: Source = None,
    format: Format = None,
    collections: Collections = None,
    reference: Reference = None,
    real: Real = None,
    synthetic: Synthetic = None,
    model: Model = None,
    dataset: CaptionedDataset = None,
    preset: Preset = "tiny",
    name: Name = None,
    seed: Seed = 0,
    runner: Runner = "subprocess",
    image: Image = DEFAULT_IMAGE,
    caption_parts: CaptionParts = None,
    sample_parts: SampleParts = None,
    allow_real_images: RealImages = True,
    root: Root = None,
    source_revision: SourceRevision = None,
    changes: Changes = None,
    home: Home = ".lesiongen",
    resume: Resume = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Run a pipeline on this machine; release, unless another is named, goes through all stages.

    Its stages are ingest, validate, caption, finetune, sample, reconstruct, evaluate, register and promote.

    Starts the embedded S3 and MLflow servers for the length of the run, unless the environment names others. It ends
    by showing where the report is; release also says which model version was registered, and why it was or was not
    promoted.

    Examples:
      lesiongen pipeline run --source images --format image_folder --preset tiny --name lesions

      lesiongen pipeline run merge --collection ham=ham10000:images/ham --collection own=image_folder:images/own

      lesiongen pipeline run drift --source images/new --format ham10000 --reference data/ham10000

      lesiongen pipeline run evaluate --real data/captioned --synthetic data/synthetic

      lesiongen pipeline run synthesise --model models/lesions --dataset data/captioned --sample-parts 2

      lesiongen pipeline run --resume latest
    """
    from pipelines.local import run_pipeline

    request = _new_request(context.params) if resume is None else _earlier_request(context, home, resume)
    summary = run_pipeline(request, home=home, resume=resume, screen=sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json(summary.as_dict())
    else:
        typer.echo(shown(summary.text()))


def _new_request(parameters: Mapping[str, Any]) -> "RunRequest":
    """Builds what to run from the parameters of the command, which have the names of the request's fields."""
    from lesiongen.config import parse_config
    from lesiongen.ingestion.likely_format import no_format
    from pipelines.definition import find_pipeline

    kind = find_pipeline(parameters["pipeline"]).request
    asked = {
        name: value
        for name, value in parameters.items()
        if name not in {*_RESUMING, "changes"} and value not in (None, [], ())
    }
    for name in set(asked) - set(kind.model_fields):
        raise _refused(name, f"is not an option of the pipeline {parameters['pipeline']}.", "Omit it.")
    for name, field in kind.model_fields.items():
        if name == "format" and name not in asked and "source" in asked:
            raise no_format(asked["source"])
        if field.is_required() and name not in asked:
            raise _refused(name, "is missing.", "`lesiongen pipeline run --help` shows examples; or give --resume.")
    if "collections" in asked:
        asked["collections"] = [_collection(text) for text in asked["collections"]]
    return parse_config(kind, asked | {"config": _of_stages(set_values(parameters["changes"]))})


def _refused(field: str, problem: str, hint: str) -> Exception:

    return UsageError(f"{_FLAGS.get(field, '--' + field.replace('_', '-'))} {problem}", hint=hint)


def _collection(text: str) -> dict[str, str]:
    name, equals, place = text.partition("=")
    format, colon, source = place.partition(":")
    if not (equals and colon):
        raise _refused("collections", f"{text} is not NAME=FORMAT:SOURCE.", "For example: ham=ham10000:images/ham")
    return {"dataset": name, "format": format, "source": source}


def _earlier_request(context: typer.Context, home: str, run: str) -> "RunRequest":
    from pipelines.runs import RunFolder

    _refuse_changes(context)
    return RunFolder.find(home, run).request()


def _refuse_changes(context: typer.Context) -> None:
    """A resumed run is what it was: a flag or a file that asks for something else would be passed over."""
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name not in _RESUMING and source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP"):
            raise UsageError(
                f"{parameter.opts[0]} is given with --resume.", hint="A run is resumed as it was: leave it out."
            )


def _of_stages(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the values of --set by stage; refuses a field that names no stage."""
    from lesiongen.diffusion import FinetuneConfig
    from lesiongen.diffusion.config_parts import in_parts

    for name, value in values.items():
        if not isinstance(value, dict):
            raise UsageError(f"--set {name}: write stage.field=value, for example finetune.max_train_steps=200")
    if "finetune" in values:
        values = {**values, "finetune": in_parts(FinetuneConfig, values["finetune"])}
    return values


_COMMANDS: dict[str, Callable[..., None]] = {"compile": compile_command, "run": run_command, **kubeflow.COMMANDS}
for _name, _command in _COMMANDS.items():
    _kind = PipelineCommand if _name in _NAMING_PIPELINES else Command
    app.command(_name, cls=_kind, help=with_examples(_command), short_help=summary(_command))(with_addresses(_command))
