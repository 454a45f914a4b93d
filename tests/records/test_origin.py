"""Origins are stored and read as they are, those of earlier releases and of other programs too."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from lesiongen.records.base import LENIENT
from lesiongen.records.origin import (
    CaptionOrigin,
    IngestOrigin,
    KeptFile,
    MergeOrigin,
    Origin,
    OtherOrigin,
    ReconstructOrigin,
    SampleOrigin,
    SelectOrigin,
)

INPUT = {"name": "a", "uri": "/a", "version": "1", "rows": 3, "licence": None}
KEPT = {"near_duplicates": {"pairs": 0, "sha256": "ab"}, "examinations": {"images": 3, "sha256": "cd"}}
STORED = {
    "ingest": (
        IngestOrigin,
        {"stage": "ingest", "source": "/s", "config": {"limit": None}, "removed_metadata": {"XMP": 1}, **KEPT},
    ),
    "ingest of a release that removed nothing": (
        IngestOrigin,
        {"stage": "ingest", "source": "/s", "config": {"format": "isic", "split_fractions": [0.7, 0.1, 0.2]}},
    ),
    "merge": (
        MergeOrigin,
        {"stage": "merge", "config": {}, "datasets": [INPUT], "licence_conflicts": [], "sources": {"a": {"test": 1}}},
    ),
    "caption of a part": (
        CaptionOrigin,
        {"stage": "caption", "config": {}, "part": "1/2", "dataset": "/d", "dataset_version": "2", **KEPT},
    ),
    "sample of a part without captions": (
        SampleOrigin,
        {"stage": "sample", "config": {}, "model": "/m", "captions": None, "model_version": "3", "part": "1/2"},
    ),
    "reconstruct": (
        ReconstructOrigin,
        {"stage": "reconstruct", "config": {}, "model": "/m", "dataset": "/d", "dataset_version": "2"},
    ),
    "select": (
        SelectOrigin,
        {"stage": "select", "config": {"keep": 0.7}, "datasets": [INPUT], "real": "/d", "kept": {"nv": 7}},
    ),
    "another program": (OtherOrigin, {"stage": "crop", "dataset": "/d", "side": 512, "by": {"name": "x"}}),
    "nothing": (OtherOrigin, {}),
}


def read(content):
    return TypeAdapter(Origin).validate_python(content, context=LENIENT)


@pytest.mark.parametrize("case", STORED)
def test_an_origin_is_stored_as_it_was_read_in_the_same_order(case):
    kind, content = STORED[case]
    origin = read(content)
    assert type(origin) is kind
    assert json.dumps(origin.content()) == json.dumps(content)


def test_a_changed_origin_stores_what_was_set_and_no_defaults():
    origin = IngestOrigin(stage="ingest", source="/s").changed(examinations=KeptFile(images=2, sha256="ab"))
    assert origin.content() == {"stage": "ingest", "source": "/s", "examinations": {"images": 2, "sha256": "ab"}}


def test_the_origin_of_the_whole_says_all_but_the_part():
    part = SampleOrigin(stage="sample", captions=None, model_version="3", part="1/2")
    assert part.whole().content() == {"stage": "sample", "captions": None, "model_version": "3"}


def test_fields_of_a_later_release_are_passed_over_and_a_writers_mistake_is_refused():
    assert read({"stage": "ingest", "source": "/s", "later": 1}).content() == {"stage": "ingest", "source": "/s"}
    with pytest.raises(ValidationError, match="later"):
        IngestOrigin(stage="ingest", later=1)
