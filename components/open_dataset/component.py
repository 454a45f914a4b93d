"""The ``open-dataset`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def open_dataset(uri: str, dataset: dsl.Output[dsl.Dataset]) -> None:
    """Hands on a dataset that exists already; a dataset never changes, so that its address stands for its content."""
    from components.step import publish, step

    with step("open-dataset"):
        from lesiongen.dataset import Dataset

        publish(Dataset.open(uri).reference(), dataset)
