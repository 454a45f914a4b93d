"""The exit handler of the pipelines."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def finish(name: str, last: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Logs how the pipeline ended."""
    from components.step import log_final_status, step

    with step("finish"):
        log_final_status(name, last, status)
