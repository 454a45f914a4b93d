"""The ``ingest`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def ingest(
    source: str,
    source_revision: str,
    format: str,
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    dataset: dsl.Output[dsl.Dataset],
) -> None:
    """Reads a collection of images and publishes it as a dataset.

    ``source_revision`` names the state of the source: a cached step is used again only while it stays the same.
    """
    from components.step import publish, step
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("ingest"):
        from lesiongen import ingestion as stage

        settings = parse_config(stage.IngestConfig, {"format": format, "name": name, "seed": seed, **config})
        result = stage.ingest(settings, source, unique_prefix(root, "datasets", name))
        publish(result.dataset, dataset, source=source, source_revision=source_revision)
