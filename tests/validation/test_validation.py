"""One sound dataset and one with every fault; great_expectations is slow to import, so each is checked once."""

import json
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.imaging import encode_png
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.mlflow_server import mlflow_client
from lesiongen.records.origin import IngestOrigin, Origin
from lesiongen.storage import open_storage
from lesiongen.validation import ValidateConfig, require_passed, validate, verdict_of
from lesiongen.validation.formats import FORMAT_SUITES, suite_of
from lesiongen.validation.sizes import SIZE_CHECKS
from tests.ingestion import miniatures

SPLIT_OF = ("train", "train", "train", "validation", "test")
NO_SIZES = {check.name: "off" for check in SIZE_CHECKS}


def picture(seed: int, side: int = 40) -> bytes:
    rng = np.random.default_rng(seed)
    return encode_png(Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)))


def photograph(side: int, **options: object) -> bytes:
    """One and the same smooth scene at any size, as a JPEG file."""
    coarse = Image.fromarray(np.random.default_rng(7).integers(0, 255, (14, 14, 3), dtype=np.uint8))
    file = BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", **options)
    return file.getvalue()


def sideways() -> bytes:
    """A photograph as a phone stores it: lying on its side, and saying where it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.GPSInfo] = {1: "N"}
    file = BytesIO()
    Image.open(BytesIO(picture(33))).save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def sound(number: int) -> Sample:
    return Sample(
        image=picture(number),
        image_id=f"S{number}",
        diagnosis=("nv", "mel")[number // 5 % 2],
        split=SPLIT_OF[number % 5],
        lesion_id=f"L{number}",
        patient_id=f"P{number}",
        age=40.0,
        sex="female",
        licence="CC0-1.0",
        concepts='{"streaks": 1}',
    )


def publish(uri, samples: list[Sample], origin: Origin | None = None) -> str:
    with DatasetWriter(str(uri), name="case", origin=origin) as writer:
        for sample in samples:
            writer.add(sample)
    return str(uri)


def faulty() -> list[Sample]:
    samples = [sound(number) for number in range(40)]
    synthetic = json.dumps({"image_manipulation": "synthetic"})
    changes = {
        0: {"image": picture(3)},  # twin of S3, which is in validation
        1: {"image": picture(2)},  # twin of S2, also in train
        5: {"image": picture(2)},  # the same pixels, another diagnosis
        6: {"lesion_id": "L8", "patient_id": "P8"},  # S8 is in validation
        10: {"diagnosis": "unheard of"},
        11: {"age": 150.0},
        12: {"sex": "<b>?</b>"},
        13: {"image_type": "x-ray"},
        15: {"measured_tone": "pale"},
        16: {"concepts": "{"},
        17: {"licence": None},
        20: {"image": picture(20)[:-300]},
        21: {"image": encode_png(Image.new("RGB", (40, 40), "red"))},
        22: {"image": picture(22, side=8)},
        25: {"image": encode_png(Image.new("L", (40, 40)).point(lambda _: 0)), "case_id": "C1"},
        28: {"case_id": "C1"},
        26: {"image": picture(27), "source": "mine"},
        27: {"source": "yours"},
        29: {"provenance": synthetic},
        30: {"lesion_id": "L31"},  # the lesion of another patient
        31: {"image": photograph(64), "source": "mine"},
        32: {"image": photograph(48, quality=60), "diagnosis": "bcc"},
        33: {"image": sideways()},
        34: {"image": photograph(80, quality=80), "source": "yours"},  # in test
        35: {"lesion_id": "L36", "patient_id": "P36", "diagnosis": "bkl"},
    }
    return [replace(sample, **changes.get(number, {})) for number, sample in enumerate(samples)]


EXPECTED = {
    "duplicate_across_splits": {"S0", "S3"},
    "duplicate_within_split": {"S1", "S2", "S5", "S26", "S27"},
    "duplicate_across_sources": {"S26", "S27"},
    "near_duplicate_across_splits": {"S31", "S32", "S34"},
    "near_duplicate_within_split": {"S31", "S32"},
    "near_duplicate_with_other_diagnosis": {"S31", "S32", "S34"},
    "near_duplicate_across_sources": {"S31", "S34"},
    "image_upright": {"S33"},
    "image_without_private_metadata": {"S33"},
    "duplicate_with_other_diagnosis": {"S1", "S2", "S5"},
    "lesion_in_one_split": {"S6", "S8"},
    "patient_in_one_split": {"S6", "S8"},
    "case_in_one_split": {"S25", "S28"},
    "diagnosis_known": {"S10"},
    "age_in_range": {"S11"},
    "sex_known": {"S12"},
    "image_type_known": {"S13"},
    "measured_tone_known": {"S15"},
    "concepts_readable": {"S16"},
    "licence_present": {"S17"},
    "image_decodes": {"S20"},
    "image_not_blank": {"S21", "S25"},
    "image_large_enough": {"S22"},
    "image_sharp": {"S21", "S22", "S25"},
    "image_without_vignette": {"S25"},
    "image_is_rgb": {"S25"},
    "synthetic_in_train_only": {"S29"},
    "lesion_of_one_patient": {"S30", "S31"},
    "lesion_of_one_diagnosis": {"S35", "S36"},
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    uri = publish(folder / "data", faulty())
    config = ValidateConfig(severities=NO_SIZES)
    return validate(config, uri, str(folder / "report")), folder / "report"


def test_every_fault_is_found_and_nothing_else(checked):
    found = {finding.check: set(finding.rows) for finding in checked[0].findings if finding.rows}
    assert found == EXPECTED


def test_values_and_partners_stand_beside_the_rows(checked):
    details = {finding.check: list(finding.details()) for finding in checked[0].findings}
    assert details["age_in_range"] == ["S11: 150"]
    assert details["duplicate_across_splits"] == ["S0: S3 (validation)", "S3: S0 (train)"]
    assert details["image_decodes"][0].startswith("S20: truncated")
    assert details["licence_present"] == ["S17"]


def test_errors_come_first_and_stop_the_work(checked):
    result, report = checked
    severities = [finding.severity for finding in result.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert not result.passed
    with pytest.raises(DataError) as caught:
        require_passed(verdict_of(result))
    assert "S20: truncated" in str(caught.value)
    assert "licence_present" not in str(caught.value)
    assert str(report) in str(caught.value)


def test_the_report_shows_the_images_and_escapes_what_it_quotes(checked):
    result, report = checked
    html = (report / "report.html").read_text()
    assert result.report == f"{report}/report.html"
    assert "&lt;b&gt;?&lt;/b&gt;" in html
    assert "<b>?" not in html
    parts = html.split("<section")[1:]
    sections = {part.partition("</small></h2>")[0].rpartition(">")[2]: part for part in parts}
    assert "Error: An image shows the same pixels as an image of another split" in sections["duplicate_across_splits"]
    for finding in result.findings:
        section = sections[finding.check]
        assert f"<h2>{finding.severity.capitalize()}: " in section
        assert "<img" in section, finding.check
    assert 'alt="S0 beside S3"' in sections["duplicate_across_splits"]
    assert sections["duplicate_across_splits"].count("<img") == 1, "a pair is shown once, not for each of its images"
    assert 'alt="S1 beside S2 beside S5"' in sections["duplicate_within_split"]
    results = json.loads((report / "validation_results.json").read_text())
    assert results["dataset"]["success"] is False
    assert results["dataset"]["meta"]["great_expectations_version"]
    summary = json.loads((report / "validation.json").read_text())
    assert summary["passed"] is False
    assert summary["dataset"]["rows"] == 40
    assert summary["images"]["bkl"] == {"train": 1, "validation": 0, "test": 0}
    ages = next(finding for finding in summary["findings"] if finding["check"] == "age_in_range")
    assert (ages["severity"], ages["rows"], ages["values"]) == ("error", ["S11"], ["150"])


def test_real_images_stay_out_where_the_configuration_says_so(tmp_path):
    uri = publish(tmp_path / "data", faulty())
    validate(ValidateConfig(allow_real_images=False), uri, str(tmp_path / "page.html"))
    html = (tmp_path / "page.html").read_text()
    assert "may show real patients" in html
    assert html.count("<img") == 1  # S29 is synthetic
    assert (tmp_path / "validation.json").exists()


def test_a_sound_dataset_passes_and_says_what_it_is_too_small_for(tmp_path):
    uri = publish(tmp_path / "data", [sound(number) for number in range(40)])
    result = validate(ValidateConfig(), uri)
    assert result.passed
    require_passed(verdict_of(result))
    assert result.report is None
    assert not [finding for finding in result.findings if finding.rows]
    parts = {finding.check: finding.parts for finding in result.findings}
    assert parts["class_large_enough_to_learn"] == ("mel: 12 training images", "nv: 12 training images")
    assert parts["class_large_enough_to_judge"][0] == "mel: 4 test lesions, recall known to ±0.35"


def test_severities_can_be_changed(tmp_path):
    samples = [sound(number) for number in range(40)]
    samples[0] = replace(samples[0], age=150.0, licence=None)
    uri = publish(tmp_path / "data", samples)
    severities = {"age_in_range": "off", "licence_present": "error"} | NO_SIZES
    result = validate(ValidateConfig(severities=severities), uri)
    assert [(finding.check, finding.severity) for finding in result.findings] == [("licence_present", "error")]
    with pytest.raises(UsageError, match="unknown check 'age'"):
        parse_config(ValidateConfig, {"severities": {"age": "off"}})


def test_a_synthetic_dataset_needs_no_test_split(tmp_path):
    provenance = json.dumps({"image_manipulation": "synthetic"})
    samples = [replace(sound(number), split="train", provenance=provenance) for number in range(20)]
    uri = publish(tmp_path / "data", samples)
    assert validate(ValidateConfig(severities=NO_SIZES), uri).findings == []


def test_what_ingest_removed_is_told(tmp_path):
    uri = publish(
        tmp_path / "data", [sound(0)], IngestOrigin(stage="ingest", removed_metadata={"XMP": 1, "EXIF GPS": 1200})
    )
    found = {finding.check: finding for finding in validate(ValidateConfig(), uri).findings}
    assert found["private_metadata_removed"].parts == ("EXIF GPS: 1,200 images", "XMP: 1 image")
    assert found["private_metadata_removed"].severity == "info"
    quiet = ValidateConfig(severities={"private_metadata_removed": "off"})
    assert "private_metadata_removed" not in {finding.check for finding in validate(quiet, uri).findings}


def test_each_source_of_a_merged_dataset_is_judged_by_its_own_suite(tmp_path):
    def of(number, source, **values):
        return replace(sound(number), source=source, image_type="dermoscopic", concepts=None, **values)

    samples = [of(number, "ham10000", site="trnk" if number == 1 else "back") for number in range(6)]
    samples += [of(number, "my clinic", site="left of the nose") for number in range(6, 12)]
    samples += [of(12, "ddi", skin_tone="12", skin_tone_scale="ddi")]
    samples += [of(13, "ham10000", site="cheek", provenance=json.dumps({"image_manipulation": "synthetic"}))]
    samples[13] = replace(samples[13], split="train")
    result = validate(ValidateConfig(severities=NO_SIZES), publish(tmp_path / "data", samples), str(tmp_path / "out"))
    found = {finding.check: finding.rows for finding in result.findings}
    assert found == {"ham10000.site": ("S1",), "ddi.image_type": ("S12",)}
    assert set(json.loads((tmp_path / "out" / "validation_results.json").read_text())) == {"dataset", "ddi", "ham10000"}
    assert "<small>ham10000.site</small>" in (tmp_path / "out" / "report.html").read_text()
    off = NO_SIZES | {"ham10000.site": "off", "ddi.image_type": "info"}
    again = validate(ValidateConfig(severities=off), str(tmp_path / "data"))
    assert [(finding.check, finding.severity) for finding in again.findings] == [("ddi.image_type", "info")]
    assert again.passed


@pytest.mark.parametrize("name", FORMAT_SUITES)
def test_what_a_reader_yields_passes_the_suite_of_its_format(name, tmp_path):
    source = tmp_path / "source"
    getattr(miniatures, "small_fitzpatrick17k" if name == "fitzpatrick17k" else name)(source)
    config = IngestConfig(format=name, unknown_diagnosis="keep", on_error="reject", max_rejected=0.5)
    ingest(config, str(source), str(tmp_path / "data"))
    result = validate(ValidateConfig(), str(tmp_path / "data"), str(tmp_path / "report"))
    suites = json.loads((tmp_path / "report" / "validation_results.json").read_text())
    assert [suite_of(source) for source in suites] == [None, name], "the suite has run"
    assert [finding.check for finding in result.findings if finding.check.startswith(f"{name}.")] == []


def test_report_and_results_are_in_mlflow_also_where_the_dataset_fails(stack_environment, tmp_path):
    uri = publish(tmp_path / "data", [replace(sound(0), sex="?")])
    assert not validate(ValidateConfig(), uri).passed
    client = mlflow_client()
    experiment = client.get_experiment_by_name("lesiongen")
    run = client.search_runs([experiment.experiment_id], "tags.`lesiongen.stage` = 'validate'")[0]
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert names >= {"report.html", "validation.json", "validation_results.json"}
    assert run.data.metrics["error_findings"] == 1


def test_a_report_that_cannot_be_written_is_refused_before_the_checks(tmp_path, monkeypatch):
    uri = publish(tmp_path / "data", [sound(0)])
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("lesiongen.validation.stage.measured_table", lambda _: pytest.fail("was checked"))
    with pytest.raises(StorageError, match="file is not a folder"):
        validate(ValidateConfig(), uri, str(tmp_path / "file" / "report"))


def test_what_is_claimed_for_a_report_lies_below_none_of_its_files(tmp_path, s3_root, monkeypatch):
    seen: list[str] = []

    def look(_):
        seen.extend(item.key for item in open_storage(s3_root).list())
        raise DataError("looked")

    monkeypatch.setattr("lesiongen.validation.stage.measured_table", look)
    with pytest.raises(DataError, match="looked"):
        validate(ValidateConfig(), publish(tmp_path / "data", [sound(0)]), s3_root)
    assert [key.partition("/_claims/")[0] for key in seen] == ["_validation"]


def test_the_known_leak_of_isic_2017_is_found(shared_data, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    header, *lines = (shared_data / "isic2017" / "metadata.csv").read_text().splitlines(keepends=True)
    twins = ("ISIC_0012127", "ISIC_0012970")
    kept = [line for number, line in enumerate(lines) if number % 20 == 0 or line.startswith(twins)]
    (source / "metadata.csv").write_text("".join([header, *kept]))
    for line in kept:
        name = f"{line.split(',')[0]}.jpg"
        shutil.copy(shared_data / "isic2017" / "images" / name, source / name)
    ingest(IngestConfig(format="isic", keep_official_split=True), str(source), str(tmp_path / "data"))
    result = validate(ValidateConfig(), str(tmp_path / "data"))
    leak = next(finding for finding in result.findings if finding.check == "duplicate_across_splits")
    assert set(leak.rows) == set(twins)
    assert not result.passed


def test_the_real_ham10000_passes_when_split_by_lesion(shared_data, tmp_path):
    config = IngestConfig(format="ham10000", limit=400)
    ingest(config, str(shared_data / "ham10000_subset"), str(tmp_path / "data"))
    result = validate(ValidateConfig(), str(tmp_path / "data"))
    assert result.passed
    assert len(Dataset.open(str(tmp_path / "data"))) == 400
