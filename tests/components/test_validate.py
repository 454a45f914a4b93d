"""The validate step and the one that stops, run as their executor runs them, as the severities decide."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.imaging import encode_png
from lesiongen.references import write_reference

PROGRAM = """
import json, sys
from types import SimpleNamespace
from components.require_passed.component import require_passed
from components.validate.component import validate

root, dataset, page, config = sys.argv[1:]
report, verdict = (SimpleNamespace(path=path, metadata={}) for path in (page, f"{page}.json"))
validate.python_func(
    root=root, name="case", config=json.loads(config), allow_real_images=True,
    dataset=SimpleNamespace(path=dataset), report=report, verdict=verdict,
)
try:
    require_passed.python_func(final=False, verdict=verdict)
finally:
    print("METADATA", json.dumps(report.metadata))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference to a dataset whose only image has no licence."""
    folder = tmp_path_factory.mktemp("step")
    with DatasetWriter(str(folder / "data"), name="case") as writer:
        image = encode_png(Image.linear_gradient("L").convert("RGB").resize((40, 40)))
        writer.add(Sample(image=image, image_id="S1", diagnosis="nv", split="train"))
    write_reference(Dataset.open(str(folder / "data")).reference(), str(folder / "reference"))
    return folder / "reference"


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_an_error_stops_the_pipeline_and_leaves_the_page_as_an_artifact(
    dataset: Path, tmp_path: Path, severity: str
) -> None:
    config = json.dumps({"severities": {"licence_present": severity}})
    arguments = [str(tmp_path / "root"), str(dataset), str(tmp_path / "out" / "report"), config]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR [require-passed]")]
    metadata = json.loads(done.stdout.rpartition("METADATA ")[2])
    assert done.returncode == (1 if severity == "error" else 0), done.stderr
    assert metadata["passed"] == int(severity != "error")
    assert "licence_present" in (tmp_path / "out" / "report").read_text(encoding="utf-8")
    assert Path(metadata["uri"]).exists(), "the page at its own address, where the artifact is not uploaded"
    assert (Path(metadata["uri"]).parent / "validation_results.json").exists()
    if severity == "error":
        assert "did not pass 1 of the checks" in errors[0]
        assert errors[-1].endswith(metadata["uri"]), "the last line says where the page lies"
        assert any("S1" in line for line in errors)
    else:
        assert not errors
    assert "Traceback" not in done.stdout + done.stderr
