"""The merge pipeline, in this process, against the servers that the tests share."""

import io
import shutil
from pathlib import Path

import pytest

from lesiongen.dataset import Dataset
from lesiongen.phantoms import PhantomConfig, write_phantoms
from lesiongen.storage import open_storage
from pipelines.local import run_pipeline
from pipelines.merge import Collection, MergeRequest

pytestmark = pytest.mark.e2e


def test_two_folders_become_one_dataset_whose_pages_show_no_patient(
    stack_environment: dict[str, str], s3_root: str, tmp_path: Path
) -> None:
    collections = []
    for seed, name in enumerate(("own", "other")):
        write_phantoms(PhantomConfig(n=60, size=64, seed=seed), tmp_path / name)
        collections.append(Collection(dataset=name, format="image_folder", source=str(tmp_path / name)))
    # The page of a merge shows what two collections share, where it may.
    for number in (0, 1):
        image = f"images/PHANTOM_000000{number}.png"
        shutil.copy(tmp_path / "own" / image, tmp_path / "other" / image)
    request = MergeRequest(
        collections=tuple(collections), name="both", root=s3_root, preset="miniature", allow_real_images=False
    )
    screen = io.StringIO()
    summary = run_pipeline(request, home=tmp_path / "home", screen=screen).as_dict()

    merged = Dataset.open(summary["dataset_uri"])
    assert merged.manifest.name == "both"
    counts = merged.metadata(["source"])["source"].value_counts()
    assert counts["own"] == 60  # the first collection's copy is kept
    assert counts["other"] < 60
    assert (summary["images"], summary["splits"]) == (len(merged), merged.manifest.splits)
    assert "----------" not in screen.getvalue()

    storage = open_storage(s3_root)
    pages = [item.key for item in storage.list() if item.key.endswith(".html")]
    # Of each collection, of the merge, and of the whole.
    assert len(pages) >= 4
    assert [key for key in pages if "data:image" in storage.read_bytes(key).decode()] == []
    page = Path(summary["report"]).read_text()
    assert "are in several datasets" in page
    assert "data:image" not in page
