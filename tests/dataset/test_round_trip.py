"""What is written as shards is what is read, whatever the values."""

import string
from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lesiongen.dataset import SPLITS, Dataset, DatasetWriter, Sample

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
OPTIONAL = {
    field.name: st.none() | TEXT
    for field in fields(Sample)
    if field.name not in ("image", "image_id", "diagnosis", "split", "age")
}
SAMPLE = st.builds(
    Sample,
    image=st.binary(max_size=300),
    image_id=st.text(string.ascii_letters + "äé皮/_", min_size=1, max_size=12),
    diagnosis=TEXT,
    split=st.sampled_from(SPLITS),
    # Ages are stored as float32.
    age=st.none() | st.floats(0, 120, width=32),
    **OPTIONAL,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(SAMPLE, min_size=1, max_size=12, unique_by=lambda sample: sample.image_id), st.integers(1, 5))
def test_samples_come_back_as_they_went_in(tmp_path_factory, samples, shard_rows):
    folder = str(tmp_path_factory.mktemp("round") / "out")
    with DatasetWriter(folder, name="round", shard_rows=shard_rows) as writer:
        for sample in samples:
            writer.add(sample)
    dataset = Dataset.open(folder)
    read = {sample.image_id: sample for sample in dataset.samples()}
    assert read == {sample.image_id: sample for sample in samples}
    metadata = dataset.metadata(["image_id", "age"]).set_index("image_id")["age"]
    for sample in samples:
        assert np.isnan(metadata[sample.image_id]) if sample.age is None else metadata[sample.image_id] == sample.age
