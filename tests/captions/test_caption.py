"""The caption stage: evidence for every statement, nothing dropped silently, the table left as it was."""

import json
from html import unescape
from io import BytesIO

import pytest

from lesiongen.captions import PAGE_NAME, PREVIEW_NAME, REPORT_NAME, CaptionConfig, caption
from lesiongen.cli.caption import show_captions
from lesiongen.concepts import Entry, Report, read_report
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.phantoms import PhantomConfig, draw_concepts, render

EXPERT = Report(patterns=Entry(value=("atypical network",), source="expert", evidence={"atypical network": 1.0}))


def _png(image):
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _sample(index, **changes):
    concepts = draw_concepts(PhantomConfig(seed=1), index)
    values = {
        "image": _png(render(concepts, 64)),
        "image_id": concepts.image_id,
        "diagnosis": concepts.diagnosis,
        "split": ("train", "validation", "test")[index % 3],
        "lesion_id": concepts.lesion_id,
        "age": concepts.age,
        "sex": concepts.sex,
        "site": concepts.site,
        "skin_tone": str(concepts.skin_tone),
        "skin_tone_scale": "fitzpatrick",
    }
    return Sample(**(values | changes))


def _write(folder, samples):
    with DatasetWriter(str(folder), name="phantoms", licence="CC0-1.0", attribution="nobody") as writer:
        for sample in samples:
            writer.add(sample)
    return str(folder)


@pytest.fixture
def dataset(tmp_path):
    changes = {
        1: {"concepts": EXPERT.to_text()},
        2: {"age": None, "sex": None, "site": "unknown", "skin_tone": None, "skin_tone_scale": None},
        3: {"skin_tone": "56", "skin_tone_scale": "ddi"},
    }
    return _write(tmp_path / "dataset", [_sample(index, **changes.get(index, {})) for index in range(12)])


def _config(**values):
    return parse_config(CaptionConfig, {"tokenizer": "tiny", **values})


def _by_id(uri):
    return {sample.image_id: sample for sample in Dataset.open(uri).samples()}


@pytest.mark.slow
def test_fills_report_caption_and_measured_tone_and_leaves_the_rest(dataset, tmp_path):
    result = caption(_config(), dataset, str(tmp_path / "out"))
    before, after = _by_id(dataset), _by_id(str(tmp_path / "out"))
    assert before.keys() == after.keys()
    for name, sample in after.items():
        assert sample.caption and sample.measured_tone
        assert read_report(sample.concepts).size is not None
        for column in ("image", "skin_tone", "skin_tone_scale", "age", "split", "diagnosis", "lesion_id"):
            assert getattr(sample, column) == getattr(before[name], column), column
    assert result.dataset.rows == 12
    assert result.counts.coverage()["size"] == {"measured": 1.0}
    assert result.counts.coverage()["patterns"] == {"expert": pytest.approx(1 / 12, abs=1e-4)}
    assert result.counts.coverage()["patient"] == {"metadata": pytest.approx(11 / 12, abs=1e-4)}
    assert 0 < result.counts.mean_tokens <= result.counts.longest <= result.counts.budget == 48


def test_states_nothing_without_evidence(dataset, tmp_path):
    caption(_config(writers=("metadata",)), dataset, str(tmp_path / "out"))
    reports = {name: read_report(sample.concepts) for name, sample in _by_id(str(tmp_path / "out")).items()}
    assert {name for report in reports.values() for name, _ in report.entries()} == {"patient", "skin_tone"}
    assert reports["PHANTOM_0000002"] == Report(), "an unknown age, sex, site and tone are not stated"
    assert reports["PHANTOM_0000003"].skin_tone.value == ("Fitzpatrick V-VI",), "DDI records pairs of types"
    assert all(sample.measured_tone is None for sample in _by_id(str(tmp_path / "out")).values())


@pytest.mark.slow
def test_experts_are_kept_and_believed(dataset, tmp_path):
    caption(_config(), dataset, str(tmp_path / "once"))
    caption(_config(seed=9), str(tmp_path / "once"), str(tmp_path / "twice"))
    for folder in ("once", "twice"):
        sample = _by_id(str(tmp_path / folder))["PHANTOM_0000001"]
        assert read_report(sample.concepts).patterns == EXPERT.patterns
        assert "atypical network" in sample.caption


def test_experts_absences_and_words_survive_captioning_twice(tmp_path):
    marks = {"patterns": {"value": [], "source": "expert", "evidence": {"network": 0.0}},
             "colour": {"value": [], "source": "expert", "evidence": {"purple": 0.0}},
             "description": {"text": "A papule with scale. The patient Anna Miller.", "source": "expert"}}  # fmt: skip
    uri = _write(tmp_path / "dataset", [_sample(0, concepts=json.dumps(marks))])
    caption(_config(), uri, str(tmp_path / "once"))
    result = caption(_config(), str(tmp_path / "once"), str(tmp_path / "twice"))
    (sample,) = Dataset.open(str(tmp_path / "twice")).samples()
    report = read_report(sample.concepts)
    assert report.patterns.evidence == {"network": 0.0}
    assert report.colour.source == "measured" and report.colour.evidence["purple"] == 0.0
    assert report.description.text == "A papule with scale.", "personal data is taken out for good"
    assert "patterns" not in result.counts.coverage()


@pytest.mark.slow
def test_the_same_seed_writes_the_same_captions(dataset, tmp_path):
    first, again, other = (str(tmp_path / name) for name in ("a", "b", "c"))
    for output, seed in ((first, 3), (again, 3), (other, 4)):
        caption(_config(seed=seed), dataset, output)
    texts = [[sample.caption for sample in Dataset.open(uri).samples()] for uri in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]


def test_what_does_not_fit_is_counted(dataset, tmp_path):
    result = caption(_config(max_tokens=16), dataset, str(tmp_path / "out"))
    assert result.counts.longest <= 16
    assert result.counts.dropped["patient"] == 11
    assert result.counts.dropped["shape"] >= 6
    written = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    assert written["dropped"] == result.counts.dropped
    assert written["covered"] == result.counts.covered


def test_the_ablation_names_the_diagnosis_alone(dataset, tmp_path):
    caption(_config(label_only=True), dataset, str(tmp_path / "out"))
    for sample in Dataset.open(str(tmp_path / "out")).samples():
        assert sample.caption.startswith("a high quality image of ")
        assert sample.caption.endswith(" skin lesion")
        assert read_report(sample.concepts).colour is not None


def test_a_tone_that_the_pixels_deny_is_counted_and_the_table_believed(tmp_path):
    index = next(i for i in range(200) if draw_concepts(PhantomConfig(seed=1), i).skin_tone == 6)
    uri = _write(tmp_path / "dataset", [_sample(index, skin_tone="I", split="train")])
    result = caption(_config(), uri, str(tmp_path / "out"))
    (sample,) = Dataset.open(str(tmp_path / "out")).samples()
    assert result.counts.checks.entries == {"contradiction with the measurement": {"skin_tone": 1}}
    assert read_report(sample.concepts).skin_tone.value == ("Fitzpatrick I",)
    assert sample.measured_tone == "dark"


def test_the_preview_shows_the_outline_and_escapes_the_table(tmp_path):
    samples = [_sample(index, diagnosis="<script>alert(1)</script>") for index in range(6)]
    uri = _write(tmp_path / "dataset", samples)
    result = caption(_config(preview=3), uri, str(tmp_path / "out"))
    page = (tmp_path / "out" / PREVIEW_NAME).read_text()
    assert result.preview.endswith(PREVIEW_NAME)
    assert page.count("<img") == 3
    assert "<script>alert" not in page


def test_no_real_image_is_shown_where_that_is_not_allowed(tmp_path):
    made = json.dumps({"image_manipulation": "synthetic"})
    real = json.dumps({"note": "compared with synthetic images"})
    uri = _write(tmp_path / "dataset", [_sample(0), _sample(1, provenance=made), _sample(2, provenance=real)])
    caption(_config(preview=3, allow_real_images=False), uri, str(tmp_path / "out"))
    page = (tmp_path / "out" / PREVIEW_NAME).read_text()
    assert page.count("<img") == 1
    assert "PHANTOM_0000001" in page and "PHANTOM_0000002" not in page
    assert "PHANTOM_0000002" not in (tmp_path / "out" / PAGE_NAME).read_text()


def test_a_damaged_image_or_report_is_named_and_nothing_is_published(tmp_path):
    for number, changes in enumerate(({"image": b"broken"}, {"concepts": '{"shininess": 1}'})):
        uri = _write(tmp_path / f"dataset{number}", [_sample(0), _sample(1, **changes)])
        with pytest.raises(DataError, match="image_id = PHANTOM_0000001"):
            caption(_config(), uri, str(tmp_path / f"out{number}"))
        assert not (tmp_path / f"out{number}" / "_dataset.json").exists()


@pytest.mark.slow
def test_a_tokenizer_folder_or_a_pipeline_folder_gives_the_same_captions(dataset, tmp_path):
    from lesiongen.concepts.tokenizer import build_tokenizer

    build_tokenizer().save_pretrained(tmp_path / "pipeline" / "tokenizer")
    texts = []
    for number, tokenizer in enumerate(("tiny", tmp_path / "pipeline", tmp_path / "pipeline" / "tokenizer")):
        output = str(tmp_path / f"out{number}")
        caption(_config(tokenizer=str(tokenizer)), dataset, output)
        texts.append([sample.caption for sample in Dataset.open(output).samples()])
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"writers": ("gossip",)}, "writers.0 = 'gossip'"),
        ({"writers": ("measured", "measured")}, "named twice"),
        ({"max_tokens": 2}, "greater than or equal to 4"),
        ({"writer": ("measured",)}, "unknown field writer\nDid you mean writers"),
    ],
)
def test_refuses_wrong_values(values, message):
    with pytest.raises(UsageError, match=message):
        _config(**values)


def test_refuses_a_budget_beyond_the_text_encoder(dataset, tmp_path):
    with pytest.raises(UsageError, match="at most 48"):
        caption(_config(max_tokens=77), dataset, str(tmp_path / "out"))


@pytest.mark.parametrize("site", ["x" * 81, "male", "ba\u200bck"])
def test_a_site_that_no_report_can_hold_is_an_error_that_names_the_image(site):
    from lesiongen.captions.writers import LOCAL_WRITERS

    sample = Sample(image=b"", image_id="a-1", diagnosis="nv", split="train", sex="female", site=site)
    with pytest.raises(DataError, match="image_id = a-1: site = "):
        LOCAL_WRITERS["metadata"].write([sample], [])


@pytest.mark.slow
def test_a_dataset_without_a_name_of_its_own_has_that_of_what_was_captioned(dataset, tmp_path):
    result = caption(_config(), dataset, str(tmp_path / "out"))
    assert Dataset.open(result.dataset.uri).manifest.name == "phantoms-captioned"
    page = (tmp_path / "out" / "caption_report.html").read_text()
    assert "Caption report of phantoms-captioned" in page
    captions = Dataset.open(result.dataset.uri).metadata(["caption"])["caption"]
    assert sum(f"<td>{text}</td>" in unescape(page) for text in set(captions)) == min(len(set(captions)), 12)
    named = caption(_config(name="mine"), dataset, str(tmp_path / "named"))
    assert Dataset.open(named.dataset.uri).manifest.name == "mine"


def test_the_command_ends_with_what_is_known_from_where_and_what_found_no_room(dataset, tmp_path, capsys):
    result = caption(_config(max_tokens=20), dataset, str(tmp_path / "out"))
    show_captions(result)
    shown = capsys.readouterr().out
    assert f"the longest {result.counts.longest} of the 20 that are allowed" in shown
    metadata = result.counts.coverage()["skin_tone"]["metadata"]
    assert 0 < metadata < 1
    (line,) = (line for line in shown.splitlines() if line.startswith("    skin tone: "))
    assert f"{metadata:.0%} metadata" in line
    (entry, count), *_ = result.counts.dropped.most_common()
    assert f"left out of captions that were full: {entry.replace('_', ' ')} ({count})" in shown
