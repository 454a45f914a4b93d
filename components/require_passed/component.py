"""The ``require-passed`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def require_passed(final: bool, verdict: dsl.Input[dsl.Artifact]) -> None:
    """Fails, naming the rows, where the dataset did not pass.

    A step of its own: of a step that fails, Kubeflow Pipelines keeps no output, the report least of all.
    """
    from pathlib import Path

    from components.step import log_completion, step

    with step("require-passed"):
        from lesiongen import validation as stage

        stage.require_passed(stage.Verdict.model_validate_json(Path(verdict.path).read_text(encoding="utf-8")))
        log_completion("require-passed", final)
