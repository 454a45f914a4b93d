"""The exit handler of the pipelines."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def finish(
    name: str,
    last: str,
    status: dsl.PipelineTaskFinalStatus,
    trainjob: dict[str, Any] = {},  # noqa: B006 - KFP reads the default at compile time
) -> None:
    """Logs how the pipeline ended; deletes the TrainJobs that a step left which could not do so itself."""
    from components.step import log_final_status, step
    from components.trainjobs import trainjobs_deleted

    with step("finish"), trainjobs_deleted(trainjob):
        log_final_status(name, last, status)
