"""Run a compiled pipeline on this machine, as subprocesses or in containers, with the embedded servers."""

import json
import locale
import sys
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from kfp import components, local

from lesiongen.endpoints import tracking_address, tracking_variable
from lesiongen.environment import variables_set
from lesiongen.errors import LesionGenError, UsageError
from lesiongen.owner import this_process
from lesiongen.safe_path import safe_variables
from lesiongen.stack import named_servers, running_stack, writing_to
from lesiongen.storage import open_storage
from lesiongen.tracking import GIVEN_RUN, PIPELINE_OWNER
from pipelines.checks import check_arguments
from pipelines.compiling import compile_pipeline
from pipelines.definition import Summary, find_pipeline
from pipelines.runners import container_runner, signal_containers
from pipelines.runs import RunFolder, RunRequest
from pipelines.settings import CompileSettings
from pipelines.step_log import StepLog, runner_output
from pipelines.stopping import StopOfRun, signal_processes, stop_of_run

__all__ = ["run_pipeline"]


def run_pipeline(
    request: RunRequest, *, home: str | Path, resume: str | None = None, screen: TextIO | None = None
) -> Summary:
    """Compiles the pipeline that is asked for and runs the compiled file to its end.

    The embedded servers are started for the run unless the environment names servers or keys of its own.

    Args:
        request: What to run.
        home: Folder of the embedded servers and of the runs.
        resume: Id of an earlier run: its finished steps are used again, and training resumes from its checkpoint.
        screen: Where progress goes; standard output by default.

    Raises:
        UsageError: A configuration is wrong, the environment names an S3 server or keys but no MLflow server, or
            another process is at work on the run.
        LesionGenError: A step failed; the message names it and carries its own words.
        Interrupted: The run was asked to stop.
    """
    # Before anything is started: what is begun is ended in order, servers included.
    with stop_of_run() as stop:
        arguments = request.arguments()
        check_arguments(arguments, in_containers=request.runner == "docker")
        _check_servers(request.root)
        folder = RunFolder.find(home, resume) if resume else RunFolder.create(home, request)
        with folder.claimed():
            return _run(request, folder, arguments, home, screen or sys.stdout, stop)


def _run(
    request: RunRequest,
    folder: RunFolder,
    arguments: dict[str, Any],
    home: str | Path,
    screen: TextIO,
    stop: StopOfRun,
) -> Summary:
    asked = request.model_dump(include=set(CompileSettings.model_fields))
    caches = "ingest" in find_pipeline(request.pipeline).stages
    settings = CompileSettings(**asked, cache_ingest=caches, retry=False)
    with writing_to(folder.path):
        compile_pipeline(request.pipeline, settings, folder.package)
    folder.remove_workspaces()
    stop.check(_hint(folder))
    with running_stack(home) if not named_servers() else nullcontext(), variables_set(_run_variables(folder.id)):
        stop.check(_hint(folder))
        _execute(request, folder, arguments, screen, stop)
        return find_pipeline(request.pipeline).summarise(folder, home)


def _check_servers(root: str) -> None:
    """Refuses wrong settings of servers that the environment names, before the first step meets them."""
    named = named_servers()
    if not named:
        return
    if tracking_variable() is None:
        raise UsageError(
            f"The environment names servers or keys ({', '.join(named)}), but no MLflow server.",
            hint="Set MLFLOW_TRACKING_URI too, or unset these for the embedded servers.",
        )
    tracking_address()
    open_storage(root).check_settings()


def _run_variables(run_id: str) -> dict[str, str]:
    return {
        "LESIONGEN_PIPELINE_RUN": run_id,
        GIVEN_RUN: "",  # a run that this process was given is not one of a step
        PIPELINE_OWNER: json.dumps(this_process().plain()),
        # The runner reads the output of a step in the encoding of the locale, whatever that of the screen is.
        "PYTHONIOENCODING": locale.getpreferredencoding(False),
        **safe_variables(),
    }


def _execute(
    request: RunRequest, folder: RunFolder, arguments: dict[str, Any], screen: TextIO, stop: StopOfRun
) -> None:
    # The runner deletes its workspace at the end: it is a folder of its own.
    local.init(
        runner=_runner(request, folder),
        pipeline_root=str(folder.artifacts),
        workspace_root=str(folder.workspace()),
        enable_caching=True,
        cache_root=str(folder.path / "cache"),
    )
    signal_steps = partial(signal_containers if request.runner == "docker" else signal_processes, folder.id)
    pipeline = components.load_component_from_file(str(folder.package))
    log = StepLog(screen, folder.log)
    failed: RuntimeError | None = None
    try:
        with runner_output(log), warnings.catch_warnings(), stop.passed_on(signal_steps):
            # The runner says of every step that resources have no effect here, and that the image is not used.
            warnings.simplefilter("ignore")
            pipeline(**arguments)
    except RuntimeError as error:
        failed = error
    finally:
        log.close()
    _raise_for_outcome(request, folder, log, failed, stop)


def _runner(request: RunRequest, folder: RunFolder) -> Any:
    if request.runner == "docker":
        return container_runner(folder, request.sources())
    return local.SubprocessRunner(use_venv=False)


def _hint(folder: RunFolder) -> str:
    return f"Log: {folder.log}\nResume it: lesiongen pipeline run --resume {folder.id}"


def _raise_for_outcome(
    request: RunRequest, folder: RunFolder, log: StepLog, failed: RuntimeError | None, stop: StopOfRun
) -> None:
    hint = _hint(folder)
    stop.check(hint)
    for stage, lines in log.errors.items():
        words = "\n".join(lines) or "The step left no error message."
        raise LesionGenError(f"The pipeline stopped at {stage}: {words}", hint=hint)
    if failed is not None:
        raise LesionGenError(f"The pipeline stopped: {failed}", hint=hint) from failed
    # A container that ends at once can be reported as a success: only the outputs count.
    for stage in map(request.publisher, find_pipeline(request.pipeline).stages):
        if not any(path.is_file() for path in folder.artifacts.glob(f"**/{stage}/*")):
            raise LesionGenError(f"The pipeline stopped at {stage}: it left no output.", hint=hint)
