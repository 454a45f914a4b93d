"""Submit a package: upload it once, then create runs of it."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kfp_server_api

from lesiongen.errors import Unavailable
from pipelines.compiling import compile_pipeline
from pipelines.kubeflow.package import Package
from pipelines.kubeflow.runs import Run, run_of
from pipelines.kubeflow.server import NotFound, NotSent, Refused, Server, equals
from pipelines.settings import CompileSettings

__all__ = ["UploadedVersion", "compiled_package", "runtime_config", "submit", "upload"]


@dataclass(frozen=True)
class UploadedVersion:
    """A package on the server.

    Attributes:
        name: Name of the pipeline version.
        pipeline_id: Id of the pipeline.
        version_id: Id of the pipeline version.
        reused: Whether the server had it already.
    """

    name: str
    pipeline_id: str
    version_id: str
    reused: bool

    def reference(self) -> Any:
        """Returns it as the server's object, for a run or a schedule."""
        return kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id
        )


@contextmanager
def compiled_package(pipeline: str, settings: CompileSettings) -> Iterator[Package]:
    """Yields a pipeline as a package that exists for the time of a block.

    Raises:
        UsageError: The pipeline or preset is unknown, or the pipeline lacks what the settings are about.
    """
    with TemporaryDirectory(prefix="lesiongen-package-") as folder:
        yield Package.read(compile_pipeline(pipeline, settings, Path(folder) / f"{pipeline}.yaml"))


def upload(server: Server, package: Package) -> UploadedVersion:
    """Uploads a package as a version of its pipeline, unless the server has it.

    Raises:
        ServiceError: The server does not answer as it should, or refuses the package.
    """
    pipeline = _pipeline_id(server, package)
    name = package.version_name
    if version := _version_id(server, pipeline, name):
        return UploadedVersion(name, pipeline, version, reused=True)
    sending = server.uploads.upload_pipeline_version
    try:
        sent = server.ask(sending, uploadfile=str(package.path), name=name, pipelineid=pipeline)
    except Refused:  # perhaps because another upload of the same package came first
        if version := _version_id(server, pipeline, name):
            return UploadedVersion(name, pipeline, version, reused=True)
        raise
    return UploadedVersion(name, pipeline, sent.pipeline_version_id, reused=False)


def submit(
    server: Server, package: Package, parameters: Mapping[str, Any], run_name: str | None = None
) -> tuple[Run, UploadedVersion]:
    """Creates a run of a package, whose parameters have been checked.

    Args:
        server: The server.
        package: The package; it is uploaded unless the server has it.
        parameters: The run's parameters; what is left out keeps the package's default.
        run_name: The run's name in the lists of Kubeflow; by default its data's name and the time.

    Raises:
        Unavailable: The server does not answer; the run may have been created, unless the error is `NotSent`.
        ServiceError: The server does not answer as it should, or refuses the run.
    """
    version = upload(server, package)
    wanted = kfp_server_api.V2beta1Run(
        display_name=run_name or _run_name(package, parameters),
        experiment_id=server.experiment_id(create=True),
        pipeline_version_reference=version.reference(),
        runtime_config=runtime_config(server, parameters),
        service_account=server.profile.service_account,
    )
    try:
        created = server.ask(server.runs.run_service_create_run, run=wanted)
    except NotSent:
        raise
    except Unavailable as error:
        error.hint = _check_first(server, wanted.display_name)
        raise
    return run_of(server, created, package.spec), version


def runtime_config(server: Server, parameters: Mapping[str, Any]) -> Any:
    """Returns the parameters, and the root of the outputs, as the server's object."""
    return kfp_server_api.V2beta1RuntimeConfig(parameters=dict(parameters), pipeline_root=server.profile.pipeline_root)


def _check_first(server: Server, run_name: str) -> str:
    profile = server.profile
    look = f"lesiongen pipeline status latest{profile.option} --experiment {shlex.quote(profile.experiment)}"
    return f"The run {run_name} may have been created. Check before submitting again: {look}"


def _run_name(package: Package, parameters: Mapping[str, Any]) -> str:
    name = package.arguments(parameters).get("name") or package.name
    return f"{name} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _pipeline_id(server: Server, package: Package) -> str:
    # Created apart from its first version: an upload of a whole pipeline names that version itself.
    reading = server.pipelines.pipeline_service_get_pipeline_by_name
    try:
        return str(server.ask(reading, name=package.name, **server.scope()).pipeline_id)
    except NotFound:
        wanted = kfp_server_api.V2beta1Pipeline(
            name=package.name,
            display_name=package.name,
            description=package.spec["pipelineInfo"].get("description"),
            **server.scope(),
        )
    try:
        return str(server.ask(server.pipelines.pipeline_service_create_pipeline, pipeline=wanted).pipeline_id)
    except Refused as refused:
        try:  # perhaps because another upload came first
            return str(server.ask(reading, name=package.name, **server.scope()).pipeline_id)
        except NotFound:
            raise refused from None


def _version_id(server: Server, pipeline: str, name: str) -> str | None:
    listing = server.pipelines.pipeline_service_list_pipeline_versions
    for found in server.pages(listing, "pipeline_versions", pipeline_id=pipeline, filter=equals("display_name", name)):
        return str(found.pipeline_version_id)
    return None
