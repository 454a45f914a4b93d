"""The ``lesiongen`` command: registers every command and turns errors into plain words."""

import logging
import os
import sys
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from lesiongen import __version__
from lesiongen.cli.defaults import with_defaults_of
from lesiongen.cli.options import errors_console, summary, with_addresses, with_examples
from lesiongen.cli.variables import Command, Group
from lesiongen.errors import LesionGenError, UsageError, disk_error
from lesiongen.interruption import Requests, interruptible
from lesiongen.outlets import guard_streams, log_to, show_traceback
from lesiongen.permissions import UMASK, new_files_for_owner
from lesiongen.safe_path import safe_variables

__all__ = ["app", "main"]

COMMANDS = {
    "datasets": "datasets",
    "ingest": "ingest",
    "validate": "validate",
    "inspect": "inspect",
    "merge": "merge",
    "copy": "copy",
    "caption": "caption",
    "finetune": "finetune",
    "sample": "sample",
    "reconstruct": "reconstruct",
    "select": "select",
    "sweep": "sweep",
    "evaluate": "evaluate",
    "crossfit": "crossfit",
    "drift": "drift",
    "export": "export",
    "register": "registry",
    "promote": "registry",
    "rollback": "registry",
    "history": "registry",
    "card": "card",
    "doctor": "doctor",
    "phantoms": "phantoms",
    "up": "stack",
    "down": "stack",
    "status": "stack",
}
USES_SERVERS = set(
    "ingest validate inspect merge copy caption finetune sample reconstruct select sweep".split()
    + "evaluate crossfit drift export".split()
    + "register promote rollback history card doctor".split()
)
"""Commands that use the local servers where they run and no others are named."""
INTERRUPTED = 130
CONFIGURATIONS = {
    "ingest": with_defaults_of("lesiongen.ingestion:IngestConfig", option="options", column="columns"),
    "validate": with_defaults_of("lesiongen.validation:ValidateConfig", real_images="allow_real_images"),
    "merge": with_defaults_of("lesiongen.merging:MergeConfig", real_images="allow_real_images"),
    "caption": with_defaults_of("lesiongen.captions:CaptionConfig", writer="writers", real_images="allow_real_images"),
    "finetune": with_defaults_of("lesiongen.diffusion.presets:reference_lora"),
    "sample": with_defaults_of("lesiongen.diffusion:SampleConfig"),
    "reconstruct": with_defaults_of("lesiongen.diffusion:ReconstructConfig"),
    "select": with_defaults_of("lesiongen.evaluation:SelectConfig"),
    "sweep": with_defaults_of("lesiongen.evaluation:SweepConfig"),
    "evaluate": with_defaults_of(
        "lesiongen.evaluation:EvaluateConfig",
        classifier="classifiers",
        control="controls",
        real_images="allow_real_images",
    ),
    "drift": with_defaults_of("lesiongen.evaluation:DriftConfig"),
}
"""Commands whose options get the defaults of a configuration."""
GROUPS = {"pipeline": "pipeline", "base-model": "base_model"}

app = typer.Typer(
    name="lesiongen",
    cls=Group,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "LESIONGEN", "help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lesiongen {__version__}")
        raise typer.Exit


def _common(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
    umask: Annotated[
        str | None,
        typer.Option(
            envvar=UMASK,
            metavar="OCTAL",
            help="Permission bits that new files lack, octal; 077 (the owner alone) unless given.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a small, unbalanced collection of skin images to a released text-to-image model.

    The stages, in order: ingest, validate, caption, finetune, sample, reconstruct, evaluate, register, promote.
    `lesiongen pipeline run` goes through all of them. Every option can also come from a YAML file (--config)
    or from a variable (LESIONGEN_FINETUNE_SEED is --seed of finetune).

    Examples:
      lesiongen phantoms --output phantoms

      lesiongen pipeline run --source phantoms --format image_folder --preset demo
    """
    # Libraries warn of parts that are not used here; what matters to the user is said by us.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    context.with_resource(new_files_for_owner(umask))
    log_to(sys.stderr, level, ("lesiongen", "components", "pipelines"))
    if {"-h", "--help"} & set(sys.argv):
        return
    _require_working_folder()
    if context.invoked_subcommand in USES_SERVERS:
        from lesiongen.stack import use_running_stack

        context.with_resource(use_running_stack())


def _require_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        hint = "Change to another folder (cd), then start the command again."
        raise UsageError(f"The working folder cannot be used: {error.strerror}.", hint=hint) from error


app.callback(help=with_examples(_common))(_common)
for _name, _module in COMMANDS.items():
    _command = getattr(import_module(f"lesiongen.cli.{_module}"), f"{_name}_command")
    app.command(
        _name, cls=CONFIGURATIONS.get(_name, Command), help=with_examples(_command), short_help=summary(_command)
    )(with_addresses(_command))
for _name, _module in GROUPS.items():
    app.add_typer(import_module(f"lesiongen.cli.{_module}").app, name=_name)


def _fail(error: LesionGenError) -> NoReturn:
    errors_console.print("Error:", style="bold red", end=" ")
    errors_console.print(str(error), markup=False)
    sys.exit(error.exit_code)


def main() -> None:
    """Runs the command; an error meant for the user ends it with its exit code, without a traceback.

    SIGTERM and a closed terminal end it as Ctrl-C does: it cleans up, says so, and ends with 128 + the signal's number.
    """
    guard_streams()
    os.environ.update(safe_variables())  # libraries start processes of their own
    with interruptible() as requests:
        try:
            app()
        except LesionGenError as error:
            _fail(error)
        except KeyboardInterrupt:  # before the command had begun, or while it ended
            _end_interrupted(requests)
        except SystemExit as ended:
            if ended.code == INTERRUPTED:  # typer ends with it on Ctrl-C, and prints nothing
                _end_interrupted(requests)
            raise
        except Exception as error:
            if requests.count:  # something else has met the signal first, such as a process of a pool
                _end_interrupted(requests)
            if of_disk := disk_error(error):
                _fail(of_disk)
            show_traceback()
            sys.exit(1)


def _end_interrupted(requests: Requests) -> NoReturn:
    by = f" by {requests.name}" if requests.count else ""
    kept = " Nothing unfinished was published: start the same command again." if USES_SERVERS & set(sys.argv) else ""
    errors_console.print(f"Interrupted{by}.{kept}", markup=False)
    sys.exit(requests.exit_code)
