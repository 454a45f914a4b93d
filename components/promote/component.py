"""The ``promote`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def promote(
    name: str,
    gates: dict[str, Any],
    registered: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
) -> None:
    """Lets the gates decide; a version that passes becomes the champion, any other stays the challenger."""
    from components.step import publish_result, step
    from lesiongen.config import parse_config

    with step("promote"):
        from lesiongen import registry as stage

        version = registered.metadata["version"]
        result = stage.promote(name, version=version, gates=parse_config(stage.Gates, gates))
        publish_result(result, decision)
