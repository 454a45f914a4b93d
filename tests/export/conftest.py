"""A small dataset of synthetic images, and an evaluation that names two of them near copies."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.imaging import encode_png
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.image_measures import Memorisation
from lesiongen.records.memorisation import CopySearch, CopyShare
from lesiongen.records.origin import SampleOrigin
from lesiongen.records.provenance import SyntheticProvenance

DIAGNOSES = ("mel", "nv", "akiec")
PLACE = "s3://clinic-north/models/secret-place"
VERSION = "5e" * 32
PRIVATE = ("LESION-77", "PATIENT-4711", "CASE-12", "ISIC_0099999", "CAMERA-9", "REMARK-OF-DR-X", PLACE, "inside-")
"""What must not leave: ids, the training image of a caption, the camera, free text, the address of the generator."""


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8))


def provenance(index: int, **changes: object) -> SyntheticProvenance:
    values = {
        "model": PLACE,
        "model_version": VERSION,
        "prompt": f"a dermoscopic image of {DIAGNOSES[index % 3]}, ünique",
        "negative_prompt": "",
        "seed": 11,
        "index": index,
        "guidance_scale": 5.0,
        "steps": 20,
        "scheduler": "ddim",
        "lora_scale": 1.0,
        "precision": "no",
    }
    return SyntheticProvenance(**{**values, **changes})


def drawn(index: int) -> Sample:
    """A drawn image as an earlier release might have left it: with ids, free text and the image of its caption."""
    content = json.loads(provenance(index).text()) | {"caption_of": "ISIC_0099999", "patient": "PATIENT-4711"}
    return Sample(
        image=encode_png(picture(index), {"comment": "REMARK-OF-DR-X"}),
        image_id=f"inside-{index}",
        diagnosis=DIAGNOSES[index % 3],
        original_diagnosis="REMARK-OF-DR-X",
        split="train",
        lesion_id="LESION-77",
        patient_id="PATIENT-4711",
        case_id="CASE-12",
        age=(93.0, 62.0, None)[index % 3],
        sex=("female", None, "male")[index % 3],
        site=("back", "Mr. X's left forearm", None)[index % 3],
        skin_tone=("2", None, "VI of REMARK-OF-DR-X")[index % 3],
        skin_tone_scale=("fitzpatrick", None, "scale of REMARK-OF-DR-X")[index % 3],
        measured_tone=("light", "brown", None)[index % 3],
        image_type="dermoscopic",
        device="CAMERA-9",
        concepts=json.dumps({"note": "REMARK-OF-DR-X"}),
        caption="REMARK-OF-DR-X",
        provenance=json.dumps(content),
        source="REMARK-OF-DR-X",
    )


Publish = Callable[..., Dataset]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publishes samples as a dataset."""

    def write(
        samples: list[Sample],
        name: str = "lesions-synthetic",
        licence: str | None = "CC BY-NC 4.0",
        captions: str | None = None,
        attribution: str = "ViDIR Group, Wien | <b>",
    ) -> Dataset:
        origin = SampleOrigin(stage="sample", model=PLACE, model_version=VERSION, captions=captions)
        with DatasetWriter(
            str(tmp_path / name), name=name, licence=licence, attribution=attribution, origin=origin
        ) as writer:
            for sample in samples:
                writer.add(sample)
        return Dataset.open(str(tmp_path / name))

    return write


@pytest.fixture
def synthetic(publish: Publish) -> Dataset:
    """Twelve synthetic images of three diagnoses."""
    return publish([drawn(index) for index in range(12)])


@pytest.fixture
def evaluation(synthetic: Dataset, tmp_path: Path) -> str:
    """The evaluation of the twelve images."""
    return evaluated(synthetic, tmp_path)


def evaluated(synthetic: Dataset, tmp_path: Path, real: str = "r" * 64) -> str:
    """Writes what `evaluate` does, as far as an export reads it: of twelve images, 3 and 5 are near copies."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    pairs = [
        {"synthetic": f"inside-{n}", "train": "ISIC_0099999", "similarity": 0.5, "above": n in (3, 5)}
        for n in range(12)
    ]
    listed = json.dumps(pairs).encode()
    (folder / "nearest.json").write_bytes(listed)
    record = EvaluationRecord(
        sources={
            "real": Source(uri="s3://clinic-north/real", version=real),
            "synthetic": Source(uri=synthetic.uri, version=synthetic.manifest.version),
        },
        memorisation=Memorisation(
            method="correlation",
            threshold=0.4,
            percentile=99.0,
            n_above=2,
            n_synthetic=12,
            search=CopySearch(synthetic=CopyShare(n=12, n_above=5), above_chance=0.375),
        ),
        files={"nearest.json": hashlib.sha256(listed).hexdigest()},
    )
    (folder / "evaluation.json").write_text(record.text())
    return str(folder)
