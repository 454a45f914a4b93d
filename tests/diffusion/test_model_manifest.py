"""The manifest of a model, of which bits are flipped."""

import json
import random

from lesiongen.diffusion.model.folder import read_manifest, write_manifest
from lesiongen.errors import DataError
from lesiongen.records.model import MODEL_NAME, Training


def test_no_bit_of_the_manifest_passes_for_another(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    facts = {
        "family": "stable-diffusion",
        "method": "full",
        "base": None,
        "prediction_type": "epsilon",
        "image_size": 64,
    }
    training = Training(held_out_loss=0.25, config={"name": "Größe"})
    right = write_manifest(tmp_path, **facts, training=training)
    path, draw, damaged = tmp_path / MODEL_NAME, random.Random(3), 0
    content = path.read_bytes()
    for place in draw.choices(range(len(content)), k=300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        try:
            assert read_manifest(tmp_path) == right
        except DataError as error:
            assert MODEL_NAME in str(error)
            damaged += 1
    assert damaged > 200
    before = json.loads(content)
    del before["manifest_sha256"]  # of an earlier release
    path.write_text(json.dumps(before))
    assert read_manifest(tmp_path) == right.model_copy(update={"manifest_sha256": None})
