"""What a generator has drawn from captions of patients is exported without anything of the patients."""

from pathlib import Path

import pytest

from lesiongen.dataset import Dataset
from lesiongen.diffusion import SampleConfig, sample
from lesiongen.exporting import ExportConfig, export
from tests.diffusion.conftest import SIZE, build_dataset, build_pipeline
from tests.export.test_export import table


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    ids = {"lesion_id": "LESION-77", "patient_id": "PATIENT-4711", "site": "back of Dr X", "age": 93.0}
    real = build_dataset(tmp_path / "real", {"train": 10}, licence="CC0-1.0", attribution="A clinic", **ids)
    model = build_pipeline(tmp_path / "pipeline")
    config = SampleConfig(per_class=2, num_inference_steps=2, image_size=SIZE, mixed_precision="fp32")
    drawn = sample(config, str(model), str(tmp_path / "drawn"), dataset=real).dataset
    export(ExportConfig(licence="CC0-1.0"), drawn.uri, str(tmp_path / "export"))
    return tmp_path / "export"


def test_the_table_says_what_was_drawn(exported):
    rows = table(exported)
    drawn = Dataset.open(str(exported.parent / "drawn")).metadata()
    assert [row["caption"] for row in rows] == drawn["caption"].tolist()
    assert [row["measured_tone"] or None for row in rows] == drawn["measured_tone"].tolist()
    assert {row["model_version"] for row in rows} == {
        Dataset.open(str(exported.parent / "drawn")).manifest.origin.model_version
    }


def test_nothing_of_the_patients_and_of_this_machine_leaves(exported):
    training = {f"train-{row}" for row in range(10)}
    for path in (path for path in exported.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for private in ("LESION-77", "PATIENT-4711", "Dr X", "A clinic", str(exported.parent), "pipeline", *training):
            assert private.encode() not in data, f"{private} is in {path.name}"
