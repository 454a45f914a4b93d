"""The ``complete`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def complete(result: dsl.Input[dsl.Artifact]) -> None:
    """Logs that all stages are done, for ``finish``: those before may all be cached, and then have no run in MLflow."""
    from components.step import log_completion, step

    with step("complete"):
        log_completion("complete", True)
