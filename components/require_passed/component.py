"""The ``require-passed`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def require_passed(name: str, verdict: dsl.Input[dsl.Artifact]) -> None:
    """Fails, naming the rows, where the dataset did not pass.

    A step of its own: of a step that fails, Kubeflow Pipelines keeps no output, the report least of all.
    """
    from pathlib import Path

    from components.step import step

    with step("require-passed"):
        from lesiongen import validation as stage
        from lesiongen.tracking import stage_run

        found = stage.Verdict.model_validate_json(Path(verdict.path).read_text(encoding="utf-8"))
        with stage_run("require-passed", {"name": name}):
            stage.require_passed(found)
