"""The whole path on a slice of real images, in this process, against the servers that the tests share."""

import io
import json
from pathlib import Path

import pytest

from lesiongen.dataset import Dataset
from lesiongen.storage import open_storage
from pipelines.local import run_pipeline
from pipelines.release import ReleaseRequest

pytestmark = pytest.mark.e2e


def test_a_slice_of_ham10000_becomes_a_decided_release(
    shared_data: Path, stack_environment: dict[str, str], s3_root: str, tmp_path: Path
) -> None:
    source = shared_data / "ham10000_subset"
    if not source.is_dir():
        pytest.skip(f"there is no {source}")
    # A field of a stage does not undo what holds for the run.
    config = {"ingest": {"limit": 150}, "evaluate": {"allow_real_images": True}}
    request = ReleaseRequest(
        source=str(source),
        format="ham10000",
        name="ham",
        root=s3_root,
        preset="miniature",
        config=config,
        seed=1,
        allow_real_images=False,
    )
    screen = io.StringIO()
    summary = run_pipeline(request, home=tmp_path, screen=screen)
    assert summary.outcome in {"PROMOTE", "HOLD", "REJECT"}, screen.getvalue()[-4000:]

    real, synthetic = Dataset.open(summary.dataset_uri), Dataset.open(summary.synthetic_uri)
    assert len(real) == 150
    table = real.metadata(["lesion_id", "split"])
    assert table.groupby("lesion_id")["split"].nunique().max() == 1
    origin = json.loads(next(synthetic.samples()).provenance or "{}")
    assert origin["image_manipulation"] == "synthetic"
    evaluation = open_storage(summary.report_uri.removesuffix("/report.html")).read_json("evaluation.json")
    assert {"real", "synthetic", "both", "reconstruction"} == set(evaluation["utility"])
    assert evaluation["config"]["allow_real_images"] is False
    assert str(shared_data) not in Path(summary.report).read_text()
    reports = open_storage(f"{s3_root}/reports")
    page = next(item.key for item in reports.list() if item.key.endswith("report.html"))
    assert "data:image" not in reports.read_bytes(page).decode()
    captions = open_storage(summary.dataset_uri)
    for key in (item.key for item in captions.list() if item.key.endswith(".html")):
        page = captions.read_bytes(key).decode()
        assert page.count("data:image") == page.count("Number of captions of each length"), "more than the histogram"
