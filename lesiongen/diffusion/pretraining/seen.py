"""The list of the images that a base model was trained on, written into its folder."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lesiongen.dataset import Dataset
from lesiongen.imaging import content_digest, decode, fingerprint
from lesiongen.imaging.fingerprints import pack
from lesiongen.progress import progress
from lesiongen.records.seen import FINGERPRINTS_NAME, SEEN_NAME, SeenImage, SeenImages

__all__ = ["write_seen"]


def write_seen(folder: Path, dataset: Dataset) -> SeenImages:
    """Writes what a model has seen of a dataset: its ``train`` split, with ids, licences, digests and fingerprints.

    A fingerprint is a thumbnail of 64 pixels, grey with coarse colour: it can be looked at.

    Args:
        folder: The folder of the model.
        dataset: What it was trained on.

    Raises:
        ImageError: An image cannot be decoded.
    """
    images, prints = [], []
    with progress("Listing what was seen", total=dataset.manifest.splits.get("train"), unit="images") as bar:
        for sample in dataset.samples("train"):
            image = decode(sample.image)
            prints.append(fingerprint(image))
            images.append(
                SeenImage(
                    image_id=sample.image_id,
                    lesion_id=sample.lesion_id,
                    patient_id=sample.patient_id,
                    source=sample.source,
                    licence=sample.licence or dataset.manifest.licence,
                    attribution=sample.attribution or dataset.manifest.attribution,
                    pixels_sha256=content_digest(image),
                )
            )
            bar.advance()
    seen = SeenImages(images=tuple(images))
    text = json.dumps(seen.model_dump(mode="json"), indent=1, ensure_ascii=False)
    (folder / SEEN_NAME).write_text(text + "\n", encoding="utf-8")
    save_file({"fingerprints": np.ascontiguousarray(pack(prints))}, folder / FINGERPRINTS_NAME)
    return seen
