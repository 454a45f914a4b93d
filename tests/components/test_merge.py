"""The ``merge`` step in a pipeline that runs on this machine."""

import csv
import io
from contextlib import closing
from pathlib import Path

import numpy as np
from kfp import dsl, local
from PIL import Image

from components.ingest.component import ingest
from components.merge.component import merge
from lesiongen.dataset import Dataset
from pipelines.step_log import StepLog, runner_output


def _folder(path: Path, seeds: range) -> str:
    path.mkdir()
    with (path / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "diagnosis"])
        for seed in seeds:
            pixels = np.random.default_rng(seed).integers(0, 255, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"{seed}.png")
            table.writerow([f"{seed}.png", "nv" if seed % 2 else "mel"])
    return str(path)


IMAGE = "python-with-lesiongen"
"""kfp.local warns of images that do not sound like Python; the subprocess uses none."""


@dsl.pipeline(name="collections")  # type: ignore[untyped-decorator]
def _pipeline(collections: list[dict[str, str]], root: str) -> None:
    with dsl.ParallelFor(collections) as one:
        read = ingest(
            source=one.source, source_revision="1", format="image_folder", root=root, name=one.dataset, seed=0,
            config={"on_error": "reject"},
        ).set_container_image(IMAGE)  # fmt: skip
    both = merge(
        root=root, name="both", config={}, allow_real_images=True, collections=collections,
        datasets=dsl.Collected(read.outputs["dataset"]),
    )  # fmt: skip
    both.set_container_image(IMAGE)


def test_two_datasets_become_one_in_a_pipeline(tmp_path: Path) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "outputs"))
    root = tmp_path / "root"
    sources = {"one": _folder(tmp_path / "one", range(6)), "two": _folder(tmp_path / "two", range(4, 10))}
    log = StepLog(io.StringIO(), tmp_path / "pipeline.log")
    # Without it the runner leaves `print` indented for all tests that follow: it runs the collections side by side.
    with closing(log), runner_output(log):
        _pipeline(collections=[{"dataset": name, "source": place} for name, place in sources.items()], root=str(root))

    (prefix,) = (root / "datasets" / "both").iterdir()
    merged = Dataset.open(str(prefix))
    assert len(merged) == 10
    assert set(merged.metadata(["source"])["source"]) == {"one", "two"}
    (page,) = (tmp_path / "outputs").rglob("merge/report")
    assert "2 images are in several datasets" in page.read_text()
