"""``lesiongen finetune``: train a generator."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    given,
    print_json,
    require_datasets,
)
from lesiongen.errors import UsageError

if TYPE_CHECKING:
    from lesiongen.launch import Launcher

__all__ = ["finetune_command"]


class Method(StrEnum):
    """How much of the denoiser is trained."""

    lora = "lora"
    full = "full"


class Where(StrEnum):
    """What runs the processes of a training."""

    local = "local"
    trainjob = "trainjob"


CaptionedDataset = Annotated[str, typer.Argument(help="A captioned dataset: a folder or s3:// prefix.")]
Output = Annotated[str, typer.Option(help="A new folder or s3:// prefix for the model.")]
Preset = Annotated[str, typer.Option(help="improved_lora, reference_lora, reference_full, tiny, demo or miniature.")]
Base = Annotated[
    str | None,
    typer.Option(
        help="Folder, s3:// prefix or hub id of a diffusers pipeline; 'lesiongen-tiny': the package's, of 64 pixels; "
        "'tiny' builds one of its kind; by default the preset's."
    ),
]
TrainedPart = Annotated[
    Method | None, typer.Option(help="Train a LoRA adapter or the full denoiser; the preset's by default.")
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps; the preset's by default.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same model.")]
Processes = Annotated[
    int | None, typer.Option(help="Processes that share each step's images, one for each GPU or part of the cores.")
]
RunBy = Annotated[
    Where, typer.Option("--launcher", help="local: this host; trainjob: a TrainJob of Kubeflow Trainer on a cluster.")
]
Nodes = Annotated[int | None, typer.Option(min=1, help="Of a TrainJob: nodes that share the processes; 1 by default.")]
Runtime = Annotated[
    str | None, typer.Option(help="Of a TrainJob: its TrainingRuntime, such as lesiongen-torch-cuda of infra/trainer.")
]
Namespace = Annotated[str | None, typer.Option(help="Of a TrainJob; by default that of the current context.")]
Image = Annotated[str | None, typer.Option(help="Of a TrainJob; by default the runtime's.")]
Deadline = Annotated[
    float | None, typer.Option(min=0.01, help="Of a TrainJob: hours after which the cluster ends it; 48 by default.")
]
Checkpoints = Annotated[str | None, typer.Option(help="Where checkpoints go; by default OUTPUT-checkpoints.")]
Resume = Annotated[bool, typer.Option(help="Resume from the newest checkpoint of the same run, if there is one.")]


def finetune_command(
    dataset: CaptionedDataset,
    output: Output,
    preset: Preset = "reference_lora",
    base: Base = None,
    method: TrainedPart = None,
    max_train_steps: Steps = None,
    seed: Seed = None,
    processes: Processes = None,
    launcher: RunBy = Where.local,
    nodes: Nodes = None,
    runtime: Runtime = None,
    namespace: Namespace = None,
    image: Image = None,
    deadline_hours: Deadline = None,
    values: Values = None,
    checkpoints: Checkpoints = None,
    resume: Resume = True,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Train a generator on the train split of a captioned dataset.

    Stopped by SIGTERM or Ctrl-C, it saves its state and exits with 75; the same command resumes from there.

    Examples:
      lesiongen finetune captioned --output generator --preset tiny

      lesiongen finetune captioned --output s3://bucket/models/mel --preset reference_lora --set rank=16

      lesiongen finetune captioned --output generator --preset reference_lora --processes 2

      lesiongen finetune s3://bucket/set --output s3://bucket/mel --launcher trainjob --runtime lesiongen-torch-cuda
    """
    from lesiongen.diffusion.presets import preset as preset_named

    flags = {
        "base": base,
        "method": method and method.value,
        "max_train_steps": max_train_steps,
        "seed": seed,
        "processes": processes,
    }
    config = preset_named(preset, **chosen_fields(values, flags))
    cluster = given(
        {"nodes": nodes, "runtime": runtime, "namespace": namespace, "image": image, "deadline_hours": deadline_hours}
    )
    runner = _launcher(launcher, cluster, checkpoints or f"{output.rstrip('/')}-checkpoints")
    require_datasets(dataset)
    from lesiongen.diffusion import finetune

    result = finetune(config, dataset, output, checkpoints=checkpoints, resume=resume, launcher=runner)
    if as_json:
        print_json(result.model.model_dump() | {"steps": result.steps, "held_out_loss": result.held_out_loss})
        return
    loss = "not measured" if result.held_out_loss is None else f"{result.held_out_loss:.4f}"
    console.print(f"{result.model.uri}: {result.steps} steps, held-out loss {loss}")


def _launcher(where: Where, options: dict[str, Any], checkpoints: str) -> "Launcher | None":
    """Returns the launcher that was asked for; None is this host.

    Args:
        where: What runs the processes.
        options: Flags of a TrainJob that were given.
        checkpoints: Where checkpoints go; leases and errors go below.

    Raises:
        UsageError: A flag is missing, or has no effect.
    """
    if where is Where.local:
        if options:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in options)
            raise UsageError(f"{flags}: only for --launcher trainjob")
        return None
    if "runtime" not in options:
        hint = "Apply infra/trainer to the namespace, and name lesiongen-torch-cuda or lesiongen-torch-cpu."
        raise UsageError("--launcher trainjob needs --runtime", hint=hint)
    from lesiongen.launch.trainjob import TrainJobLauncher

    hours = options.pop("deadline_hours", None)
    deadline = {} if hours is None else {"deadline": round(hours * 3600)}
    return TrainJobLauncher(f"{checkpoints.rstrip('/')}/jobs", **options, **deadline)
