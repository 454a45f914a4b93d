"""``lesiongen up``, ``down`` and ``status``: the embedded S3 and MLflow servers."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, print_json
from lesiongen.outlets import unguarded

if TYPE_CHECKING:
    from lesiongen.stack import StackStatus

__all__ = ["down_command", "status_command", "up_command"]

Home = Annotated[
    str,
    typer.Option(envvar="LESIONGEN_HOME", help="Folder of the servers' data, logs and credentials."),
]
DEFAULT_HOME = ".lesiongen"


def up_command(home: Home = DEFAULT_HOME, as_json: Json = False, config: ConfigFile = None) -> None:
    """Start the local S3 and MLflow servers, or leave them as they are when they run.

    Both listen on 127.0.0.1 only, and let you alone in. Addresses and credentials stay the same from one start to
    the next.

    Examples:
      lesiongen up
    """
    from lesiongen.stack import Stack

    _show(Stack(home).up(), as_json)


def down_command(
    home: Home = DEFAULT_HOME,
    force: Annotated[bool, typer.Option("--force", help="Stop them under commands that use them, too.")] = False,
    config: ConfigFile = None,
) -> None:
    """Stop the local servers; the data stay for the next `lesiongen up`.

    Examples:
      lesiongen down
    """
    from lesiongen.stack import Stack

    Stack(home).down(force=force)
    typer.echo(f"Nothing of {home} runs any more; its data are kept.")


def status_command(
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
    export: Annotated[
        bool,
        typer.Option("--export", help='Print shell lines for `eval "$(…)"`; they hold the secret key and password.'),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Show whether the local servers run and where they are; exit code 1 when they do not.

    Examples:
      lesiongen status --json

      eval "$(lesiongen status --export)"
    """
    from lesiongen.stack import Stack

    stack = Stack(home)
    if export:
        for name, value in stack.environment().items():
            typer.echo(f"export {name}={shlex.quote(value)}", file=unguarded(sys.stdout))
        return
    status = stack.status()
    _show(status, as_json)
    if not status.running:
        raise typer.Exit(1)


def _show(status: "StackStatus", as_json: bool) -> None:
    if as_json:
        print_json(status.as_dict())
        return
    from lesiongen.stack.home import MLFLOW_USER

    for server in status.servers:
        state = f"{server.address}  pid {server.pid}, {server.resident_mb:.0f} MiB" if server.answers else "stopped"
        typer.echo(f"{server.name:<8}{state}")
        if server.log.exists():
            typer.echo(f"{'':<8}log: {server.log}")
    typer.echo(f"bucket  s3://{status.bucket}, in {status.home}")
    if not status.running:
        return
    asked = f"lesiongen status --home {shlex.quote(str(status.home))} --export"
    typer.echo(f"login   the page of mlflow asks for it: user {MLFLOW_USER}, password by `{asked}`")
