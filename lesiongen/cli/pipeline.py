"""``lesiongen pipeline``: compile the release pipeline, or run it on this machine."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import ConfigFile, Json, print_json, set_values, summary, with_addresses, with_examples
from lesiongen.cli.variables import Command
from lesiongen.redaction import shown

if TYPE_CHECKING:
    from pipelines.runs import RunRequest

__all__ = ["app", "compile_command", "run_command"]

app = typer.Typer(
    no_args_is_help=True,
    help="Go through all stages at once, on this machine (run) or on Kubeflow Pipelines (compile).",
    short_help="Go through all stages at once, on this machine or on Kubeflow Pipelines.",
)

Image = Annotated[str, typer.Option(help="Container image of every step.")]
Preset = Annotated[
    str,
    typer.Option(
        help="Settings of all stages. On a CPU, a small model trained from nothing: tiny, demo (minutes), miniature "
        "(a few minutes; its images are noise). On a GPU, Stable Diffusion 1.4: improved_lora, reference_lora, "
        "reference_full."
    ),
]
CaptionParts = Annotated[int, typer.Option(help="Steps that share the captioning, side by side on a cluster.")]
SampleParts = Annotated[int, typer.Option(help="Steps that share the drawing of images, likewise.")]
RealImages = Annotated[
    bool,
    typer.Option(
        "--real-images/--no-real-images",
        help="Show real patients' images on pages and in MLflow; --no-real-images holds for every stage.",
    ),
]
DEFAULT_IMAGE = "lesiongen:local"
_RESUMING = {"resume", "home", "as_json", "config"}


def compile_command(
    output: Annotated[str, typer.Option(help="The file to write, named .yaml.")],
    name: Annotated[str, typer.Argument(help="Which pipeline; release goes through all stages.")] = "release",
    preset: Preset = "tiny",
    image: Image = DEFAULT_IMAGE,
    accelerator: Annotated[
        str | None, typer.Option(help="Kubernetes resource for training and sampling, such as nvidia.com/gpu.")
    ] = None,
    accelerator_count: Annotated[int, typer.Option(help="How many of them.")] = 1,
    cache_ingest: Annotated[
        bool, typer.Option(help="Cache ingest too; every run must then name its source_revision.")
    ] = False,
    caption_parts: CaptionParts = 1,
    sample_parts: SampleParts = 1,
    allow_real_images: RealImages = True,
    config: ConfigFile = None,
) -> None:
    """Write a pipeline as the YAML package that Kubeflow Pipelines takes.

    Examples:
      lesiongen pipeline compile release --output release.yaml --image registry.example/lesiongen:1.0
    """
    from lesiongen.config import parse_config
    from pipelines.compiling import compile_pipeline
    from pipelines.settings import CompileSettings

    chosen = {
        "image": image,
        "preset": preset,
        "accelerator": accelerator,
        "accelerator_count": accelerator_count,
        "cache_ingest": cache_ingest,
        "caption_parts": caption_parts,
        "sample_parts": sample_parts,
        "allow_real_images": allow_real_images,
    }
    path = compile_pipeline(name, parse_config(CompileSettings, chosen), output)
    typer.echo(f"{name} is written to {path} ({path.stat().st_size / 1000:.0f} kB)")


Source = Annotated[
    str | None, typer.Option(help="Folder, zip or tar archive, or s3:// address with images and a table.")
]
Format = Annotated[
    str | None,
    typer.Option(help="The collection, which says how its table is read; `lesiongen datasets` lists them."),
]
Name = Annotated[str, typer.Option(help="Name of the data, the model and the release.")]
Seed = Annotated[int, typer.Option(help="Seed of every stage.")]
Runner = Annotated[
    str, typer.Option(help="Where the steps run: subprocess, as processes here, or docker, in containers of --image.")
]
Root = Annotated[str, typer.Option(help="Below this everything that the run makes is stored.")]
SourceRevision = Annotated[
    str | None, typer.Option(help="State of the source; by default the names, sizes and times of its files.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.FIELD=VALUE",
        help="Change a field of the preset, for example finetune.steps=200 or policy.min_seeds=3; an unknown "
        "field's error lists all. Repeatable.",
    ),
]
Home = Annotated[str, typer.Option(envvar="LESIONGEN_HOME", help="Folder of the embedded servers and the runs.")]
Resume = Annotated[
    str | None, typer.Option(help="Resume a run that was stopped: its id, or latest; nothing else is needed.")
]


def run_command(
    context: typer.Context,
    source: Source = None,
    format: Format = None,
    preset: Preset = "tiny",
    name: Name = "lesions",
    seed: Seed = 0,
    runner: Runner = "subprocess",
    image: Image = DEFAULT_IMAGE,
    caption_parts: CaptionParts = 1,
    sample_parts: SampleParts = 1,
    allow_real_images: RealImages = True,
    root: Root = "s3://lesiongen/release",
    source_revision: SourceRevision = None,
    changes: Changes = None,
    home: Home = ".lesiongen",
    resume: Resume = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Run the release pipeline: ingest, validate, caption, finetune, sample, evaluate, register, promote.

    Starts the embedded S3 and MLflow servers for the length of the run, unless the environment names others. It ends
    by telling where the report is, which model version was registered, and why it was or was not promoted.

    Examples:
      lesiongen pipeline run --source images --format image_folder --preset tiny --name lesions

      lesiongen pipeline run --resume latest
    """
    from pipelines.local import run_pipeline

    request = _new_request(context.params) if resume is None else _earlier_request(context, home, resume)
    summary = run_pipeline(request, home=home, resume=resume, screen=sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json(summary.as_dict())
    else:
        typer.echo(shown(summary.text()))


def _new_request(given: Mapping[str, Any]) -> "RunRequest":
    """Builds what to run from the parameters of the command, which have the names of the request's fields."""
    from lesiongen.config import parse_config
    from pipelines.runs import RunRequest

    fields = {name: value for name, value in given.items() if name in RunRequest.model_fields and name != "config"}
    for name in ("source", "format"):
        fields[name] = _required(given[name], f"--{name}")
    return parse_config(RunRequest, fields | {"config": _of_stages(set_values(given["changes"]))})


def _earlier_request(context: typer.Context, home: str, run: str) -> "RunRequest":
    from pipelines.runs import RunFolder

    _refuse_changes(context)
    return RunFolder.find(home, run).request()


def _refuse_changes(context: typer.Context) -> None:
    """A resumed run is what it was: a flag or a file that asks for something else would be passed over."""
    from lesiongen.errors import UsageError

    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if name not in _RESUMING and source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP"):
            raise UsageError(
                f"{parameter.opts[0]} is given with --resume.", hint="A run is resumed as it was: leave it out."
            )


def _required(value: str | None, flag: str) -> str:
    from lesiongen.errors import UsageError

    if value is None:
        raise UsageError(f"{flag} is missing.", hint="Give --source and --format, or --resume.")
    return value


def _of_stages(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the values of --set, which are nested already; refuses a field that names no stage."""
    from lesiongen.errors import UsageError

    for name, value in values.items():
        if not isinstance(value, dict):
            raise UsageError(f"--set {name}: write stage.field=value, for example finetune.steps=200")
    return values


app.command("compile", cls=Command, help=with_examples(compile_command), short_help=summary(compile_command))(
    with_addresses(compile_command)
)
app.command("run", cls=Command, help=with_examples(run_command), short_help=summary(run_command))(
    with_addresses(run_command)
)
