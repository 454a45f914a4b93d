"""Options that the commands for a Kubeflow Pipelines server share: the server, the package and its parameters."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.compile_options import COMPILE_OPTIONS, DEFAULT_IMAGE, compile_settings
from lesiongen.cli.options import read_yaml, set_values

if TYPE_CHECKING:
    from pipelines.kubeflow.package import Package
    from pipelines.kubeflow.server import Server

__all__ = [
    "Changes",
    "Experiment",
    "PackageFile",
    "Parameters",
    "ProfileName",
    "checked_package",
    "connected_server",
]

logger = logging.getLogger(__name__)

ProfileName = Annotated[
    str,
    typer.Option(envvar="LESIONGEN_PROFILE", help="Which server: a profile of ~/.config/lesiongen/profiles.yaml."),
]
Experiment = Annotated[str | None, typer.Option(help="Experiment of the run; the profile's unless given.")]
PackageFile = Annotated[
    Path | None, typer.Option("--package", metavar="FILE", help="A compiled package, in place of compiling one.")
]
Parameters = Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file with the parameters of the pipeline.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PARAMETER=VALUE",
        help="A parameter of the pipeline, for example source=s3://data/ham10000 or gates.min_seeds=3, which changes "
        "that field of the parameter gates. Repeatable; wins over --parameters.",
    ),
]


@contextmanager
def connected_server(profile: str, experiment: str | None) -> "Iterator[Server]":
    """Yields the connection to the server of a profile; an experiment that is given replaces the profile's."""
    from pipelines.kubeflow.profile import load_profile
    from pipelines.kubeflow.server import connect

    chosen = load_profile(profile)
    if experiment is not None:
        chosen = chosen.model_copy(update={"experiment": experiment})
    with connect(chosen) as server:
        yield server


@contextmanager
def checked_package(context: typer.Context, pipeline: str) -> "Iterator[tuple[Package, dict[str, Any]]]":
    """Yields the package that is asked for, compiled or from a file, and its checked parameters."""
    from pipelines.kubeflow.package import Package, check_parameters, with_changes
    from pipelines.kubeflow.submission import compiled_package

    asked = context.params
    values = read_yaml(asked["parameters"]) if asked["parameters"] else {}
    changes = set_values(asked["changes"])

    def checked(package: Package) -> tuple[Package, dict[str, Any]]:
        parameters = with_changes(package, values, changes)
        check_parameters(package, parameters)
        if DEFAULT_IMAGE in package.images:
            _warn_of_image()
        return package, parameters

    if asked["package"]:
        _refuse_compile_options(context)
        yield checked(Package.read(asked["package"]))
        return
    with compiled_package(pipeline, compile_settings(asked)) as package:
        yield checked(package)


def _warn_of_image() -> None:
    # No error: a cluster of this machine may have been given the image.
    logger.warning(
        "The steps run in the image %s, which no registry has: load it into every node of the cluster, for example "
        "with `kind load docker-image %s`, or compile with --image.", DEFAULT_IMAGE, DEFAULT_IMAGE,
    )  # fmt: skip


def _refuse_compile_options(context: typer.Context) -> None:
    """A compiled package is what it is: an option of the compile would be passed over."""
    from lesiongen.errors import UsageError

    names = {*COMPILE_OPTIONS, "settings", "pipeline" if context.command.name == "schedule" else "name"}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in names and source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP"):
            called = parameter.opts[0] if parameter.opts[0].startswith("-") else "The name of a pipeline"
            raise UsageError(f"{called} is given with --package.", hint="A package is compiled already: leave it out.")
