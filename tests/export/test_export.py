"""An export holds what it says, in the files of others, and nothing that identifies anybody."""

import csv
import gc
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import DatasetCard
from PIL import ExifTags, Image

from lesiongen import __version__
from lesiongen.config import parse_config
from lesiongen.dataset import DIAGNOSES as TAXONOMY
from lesiongen.dataset import Dataset, DatasetWriter, resolve_diagnosis
from lesiongen.errors import DataError, UsageError
from lesiongen.exporting import ExportConfig, export
from lesiongen.exporting.card import dataset_card
from lesiongen.exporting.isic import LEVELS
from lesiongen.exporting.provenance import handed_on
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.records.export import ExportedCopies, ExportRecord, read_export
from lesiongen.records.origin import SelectOrigin
from lesiongen.records.provenance import IngestedProvenance, is_synthetic
from lesiongen.records.selection import SelectedClass, SelectionReport
from tests.export.conftest import DIAGNOSES, PRIVATE, VERSION, drawn, evaluated, picture, provenance

LEAVE_OUT = ExportConfig(leave_out="near-copies")


def table(folder: Path, split: str = "train") -> list[dict[str, str]]:
    with (folder / split / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def exported(synthetic, tmp_path) -> Path:
    export(ExportConfig(model_name="lesions-2026"), synthetic.uri, str(tmp_path / "export"))
    return tmp_path / "export"


def test_each_image_has_a_row_in_the_columns_of_the_archive(exported):
    rows = table(exported)
    assert len(rows) == 12
    first = rows[0]
    assert (
        first
        | {
            "file_name": "00000/lesions-synthetic-0000001.png",
            "isic_id": "lesions-synthetic-0000001",
            "attribution": "ViDIR Group, Wien | <b>",
            "copyright_license": "CC-BY-NC",
            "age_approx": "85",  # 93 years
            "anatom_site_general": "posterior torso",
            "diagnosis": "melanoma",
            "diagnosis_1": "Malignant",
            "diagnosis_3": "Melanoma, NOS",
            "fitzpatrick_skin_type": "II",
            "image_manipulation": "synthetic",
            "image_type": "dermoscopic",
            "sex": "female",
            "measured_tone": "light",
            "caption": "a dermoscopic image of mel, ünique",
            "model_name": "lesions-2026",
            "model_version": VERSION,
            "seed": "11",
            "index": "0",
        }
        == first
    )
    assert [row["age_approx"] for row in rows[:3]] == ["85", "60", ""]
    assert rows[1]["anatom_site_general"] == "upper extremity"
    assert rows[2]["diagnosis_1"] == ""  # akiec holds both


def test_the_files_show_the_images_and_say_that_they_are_synthetic(exported):
    for number, row in enumerate(table(exported)):
        with Image.open(exported / "train" / row["file_name"]) as image:
            assert image.format == "PNG"
            assert np.array_equal(np.asarray(image), np.asarray(picture(number)))
            assert image.text["image_manipulation"] == "synthetic"
            assert image.text["prompt"] == provenance(number).prompt
            assert image.text["Software"] == f"LesionGen {__version__}"
            assert image.text["Copyright"] == "CC BY-NC 4.0; ViDIR Group, Wien | <b>"
            assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
            exif = image.getexif()
            described = exif[ExifTags.Base.ImageDescription]
            assert "It was not taken of a patient, but may resemble one." in described
            assert image.text["Disclaimer"] == described
            assert exif[ExifTags.Base.Copyright].startswith("CC BY-NC 4.0")
            comment = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
            facts = json.loads(comment.removeprefix(b"ASCII\0\0\0"))
            assert (facts["prompt"], facts["seed"], facts["index"]) == (provenance(number).prompt, 11, number)


def test_nothing_that_identifies_anybody_leaves(synthetic, evaluation, tmp_path):
    export(LEAVE_OUT, synthetic.uri, str(tmp_path / "export"), evaluation)
    files = [path for path in (tmp_path / "export").rglob("*") if path.is_file()]
    assert len(files) == 10 + 5
    for path in files:
        data, name = path.read_bytes(), str(path.relative_to(tmp_path))
        for private in (*PRIVATE, synthetic.uri, str(tmp_path), "caption_of"):
            assert private.encode() not in data, f"{private} is in {name}"
            assert private not in name


def test_the_checksums_are_those_of_all_files(exported):
    sums = dict(reversed(line.split("  ")) for line in (exported / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert set(sums) == files - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest


def test_near_copies_are_left_out_and_counted(synthetic, evaluation, tmp_path):
    result = export(LEAVE_OUT, synthetic.uri, str(tmp_path / "export"), evaluation)
    indices = [int(row["index"]) for row in table(tmp_path / "export")]
    assert indices == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]
    assert (result.record.images, result.record.near_copies.found, result.record.near_copies.left_out) == (10, 2, 2)
    assert "**2 near copies were left out.**" in (tmp_path / "export" / "README.md").read_text()


def test_near_copies_that_stay_are_stated(synthetic, evaluation, tmp_path):
    result = export(ExportConfig(), synthetic.uri, str(tmp_path / "export"), evaluation)
    assert (result.record.images, result.record.near_copies.left_out) == (12, 0)
    assert "2 near copies are among the images" in (tmp_path / "export" / "README.md").read_text()


def test_what_several_descriptors_found_is_stated(synthetic, evaluation, tmp_path):
    export(LEAVE_OUT, synthetic.uri, str(tmp_path / "export"), evaluation)
    copies = read_export((tmp_path / "export" / "export.json").read_bytes(), "export.json").near_copies
    assert (copies.search_above, copies.search_images, copies.above_chance) == (5, 12, 0.375)
    text = (tmp_path / "export" / "README.md").read_text()
    assert "called 5 of 12 evaluated images near copies, +37.5% against chance; only the measure above decides" in text


def test_images_that_only_the_search_found_may_resemble_a_patient():
    copies = ExportedCopies(found=0, left_out=0, search_above=1, search_images=10)
    assert "but may resemble one" in dataset_card(ExportRecord(images=1, near_copies=copies), [{"prompt": ""}])
    assert "search_above" not in ExportRecord(near_copies=ExportedCopies(found=0)).text()  # as earlier releases wrote


@pytest.mark.parametrize(
    ("captions", "real", "of_training_images"),
    [("c" * 64, "c" * 64, True), ("c" * 64, "d" * 64, False), (None, "d", None)],
)
def test_an_evaluation_with_other_real_images_is_stated(publish, tmp_path, caplog, captions, real, of_training_images):
    dataset = publish([drawn(index) for index in range(12)], captions=captions)
    result = export(ExportConfig(), dataset.uri, str(tmp_path / "export"), evaluated(dataset, tmp_path, real))
    assert result.record.near_copies.of_training_images is of_training_images
    text, stated = (tmp_path / "export" / "README.md").read_text(), "own training images were not looked at"
    assert (stated in text) == (stated in caplog.text) == (of_training_images is False)
    assert "The images that the generator's base model was trained on were not looked at." in text


def test_an_evaluation_of_other_images_is_refused(evaluation, publish, tmp_path):
    other = publish([drawn(index) for index in range(3)], name="other")
    with pytest.raises(UsageError, match="is the evaluation of other images"):
        export(LEAVE_OUT, other.uri, str(tmp_path / "export"), evaluation)


def test_a_changed_list_of_near_copies_is_refused(synthetic, evaluation, tmp_path):
    path = Path(evaluation) / "nearest.json"
    path.write_text(path.read_text().replace("true", "false"))
    with pytest.raises(DataError, match="nearest.json is damaged"):
        export(LEAVE_OUT, synthetic.uri, str(tmp_path / "export"), evaluation)


def test_near_copies_need_an_evaluation(synthetic, tmp_path):
    with pytest.raises(UsageError, match="needs an evaluation"):
        export(LEAVE_OUT, synthetic.uri, str(tmp_path / "export"))


def test_real_images_and_reconstructions_are_refused(publish, tmp_path):
    real = replace(drawn(1), provenance=None)
    reconstruction = replace(drawn(2), provenance='{"image_manipulation": "reconstruction"}')
    dataset = publish([drawn(0), real, reconstruction])
    with pytest.raises(UsageError, match="2 of 3 images are not synthetic"):
        export(ExportConfig(), dataset.uri, str(tmp_path / "export"))
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("patient", "prompt"),
    [
        ("PATIENT-4711", "a nevus of PATIENT-4711"),
        ("PATIENT-4711", "a nevus of PATIENT-4711."),
        ("PATIENT-4711", "a nevus of patient-4711, ünique"),
        ("Smith, Ann/3", "a nevus of Smith,  Ann/3"),
        ("(4711)", "a nevus (4711)"),
    ],
)
def test_a_prompt_that_names_a_patient_is_refused(publish, tmp_path, patient, prompt):
    naming = replace(drawn(1), patient_id=patient, provenance=provenance(1, prompt=prompt).text())
    dataset = publish([drawn(0), naming])
    with pytest.raises(DataError, match="the prompts of 1 images contain a lesion_id, patient_id or case_id"):
        export(ExportConfig(), dataset.uri, str(tmp_path / "export"))


def test_a_part_of_a_word_and_a_short_number_are_no_id(publish, tmp_path):
    image = replace(drawn(0), patient_id="nev", lesion_id="12", provenance=provenance(0, prompt="a nevus, 12").text())
    export(ExportConfig(), publish([image]).uri, str(tmp_path / "export"))
    assert table(tmp_path / "export")[0]["caption"] == "a nevus, 12"


def test_an_address_in_the_place_of_a_version_stays(publish, tmp_path):
    addressed = provenance(0, model_version="s3://clinic-north/models/secret-place").text()
    export(ExportConfig(), publish([replace(drawn(0), provenance=addressed)]).uri, str(tmp_path / "export"))
    assert table(tmp_path / "export")[0]["model_version"] == ""


def test_a_licence_is_stated_once(publish, synthetic, tmp_path):
    without = publish([drawn(0)], name="without", licence=None)
    with pytest.raises(UsageError, match="1 of 1 images have no licence"):
        export(ExportConfig(), without.uri, str(tmp_path / "export"))
    with pytest.raises(UsageError, match="states the licence of every image already"):
        export(ExportConfig(licence="CC0-1.0"), synthetic.uri, str(tmp_path / "export"))
    unknown = publish([drawn(0)], name="merged", licence="unknown")
    with pytest.raises(UsageError, match="1 of 1 images have no licence"):
        export(ExportConfig(), unknown.uri, str(tmp_path / "export"))
    export(ExportConfig(licence="terms of our hospital"), without.uri, str(tmp_path / "export"))
    assert "terms of our hospital" in (tmp_path / "export" / "LICENSE").read_text()
    header = DatasetCard((tmp_path / "export" / "README.md").read_text()).data.to_dict()
    assert (header["license"], header["license_name"]) == ("other", "terms-of-our-hospital")


@pytest.mark.parametrize("last", ["Clinic A", None])
def test_whom_a_merge_names_is_named_once(publish, tmp_path, last):
    names = ("Clinic A", "Clinic B", last)
    dataset = publish(
        [replace(drawn(number), attribution=name) for number, name in enumerate(names)],
        attribution="Clinic A; Clinic B",
    )
    result = export(ExportConfig(), dataset.uri, str(tmp_path / "export"))
    assert result.record.attribution == "Clinic A; Clinic B"
    assert [row["attribution"] for row in table(tmp_path / "export")][:2] == ["Clinic A", "Clinic B"]


def test_licences_that_contradict_each_other_are_refused(publish, tmp_path):
    licences = ("CC BY-SA 4.0", "CC BY-NC-SA 4.0")
    dataset = publish([replace(drawn(number), licence=licence) for number, licence in enumerate(licences)])
    with pytest.raises(DataError, match="cannot be handed on together"):
        export(ExportConfig(), dataset.uri, str(tmp_path / "export"))


def test_licences_that_a_merge_has_joined_contradict_each_other_still(publish, tmp_path):
    dataset = publish([drawn(0)], licence="CC BY-SA 4.0 AND CC BY-NC-SA 4.0")
    with pytest.raises(DataError, match="cannot be handed on together"):
        export(ExportConfig(), dataset.uri, str(tmp_path / "export"))


def test_licences_that_stay_in_force_beside_each_other_are_all_stated(publish, tmp_path):
    dataset = publish([drawn(0)], licence="terms of use of A AND terms of use of B")
    result = export(ExportConfig(), dataset.uri, str(tmp_path / "export"))
    assert result.record.licence == "terms of use of A AND terms of use of B"


@pytest.mark.parametrize("licence", ["terms of use of A AND unknown", "Unknown", " "])
def test_a_licence_with_an_unknown_part_is_missing(publish, tmp_path, licence):
    dataset = publish([drawn(0)], licence=licence)
    with pytest.raises(UsageError, match="1 of 1 images have no licence"):
        export(ExportConfig(), dataset.uri, str(tmp_path / "export"))


def test_the_card_has_a_header_and_the_counts(exported):
    text = (exported / "README.md").read_text()
    card = DatasetCard(text)
    assert (
        card.data.to_dict()
        | {
            "license": "cc-by-nc-4.0",
            "task_categories": ["image-classification", "text-to-image"],
            "size_categories": ["n<1K"],
        }
        == card.data.to_dict()
    )
    assert "synthetic" in card.data.tags
    assert "| melanoma (`mel`) | 4 |" in text
    assert "| brown | 4 |" in text
    assert "**They were not looked for** by this export." in text
    assert "ViDIR Group, Wien \\| &lt;b&gt;" in text  # shown, and no HTML of a stranger


@pytest.mark.parametrize(
    ("found", "before", "resembles"),
    [(None, None, True), (2, None, True), (0, None, False), (None, 3, True), (None, 0, False), (0, 3, True)],
)
def test_images_may_resemble_a_patient_where_near_copies_were_found_or_not_looked_for(found, before, resembles):
    copies = None if found is None else ExportedCopies(found=found, left_out=found)
    text = dataset_card(
        ExportRecord(images=1, near_copies=copies, near_copies_left_out_before=before), [{"prompt": ""}]
    )
    assert "shows a patient" not in text
    assert "no image was taken of a patient" in text
    assert ("but may resemble one" in text) == resembles
    assert "the one that it was drawn for: nobody has diagnosed it" in text


def test_the_record_is_read_back(exported, synthetic):
    record = read_export((exported / "export.json").read_bytes(), "export.json")
    assert record.dataset_version == synthetic.manifest.version
    assert record.diagnoses == dict.fromkeys(sorted(DIAGNOSES), 4)
    assert record.measured_tones == {"brown": 4, "light": 4, "unknown": 4}
    assert record.skin_tones["fitzpatrick 2"] == 4
    assert record.splits == {"train": 12}
    with pytest.raises(DataError, match="export.json has schema version 2; this release reads 1"):
        read_export(b'{"schema_version": 2, "dataset_version": "x"}', "export.json")
    for other in (b"[]", b"{}", b"no"):
        with pytest.raises(DataError, match="export.json is not"):
            read_export(other, "export.json")


def test_what_is_not_known_is_neither_a_version_nor_a_diagnosis():
    text = dataset_card(ExportRecord(images=3, diagnoses={"mel": 2, "unknown": 1}), [{"prompt": "a lesion"}] * 3)
    assert "diffusion model (of unknown version) from a prompt" in text
    assert "3 **synthetic** images of skin lesions, 1 diagnosis," in text
    assert "| unknown | 1 |" in text


def test_an_export_is_never_overwritten(exported, synthetic, tmp_path):
    before = (exported / "export.json").read_bytes()
    with pytest.raises(UsageError, match="already holds an export"):
        export(ExportConfig(model_name="lesions-2026"), synthetic.uri, str(exported))
    with pytest.raises(UsageError, match="already holds an export"):
        export(ExportConfig(name="another"), synthetic.uri, str(exported))
    assert (exported / "export.json").read_bytes() == before


def test_a_folder_with_other_files_is_refused(synthetic, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "patients.csv").write_text("Smith\n")
    with pytest.raises(UsageError, match=r"holds other files \(patients.csv\)"):
        export(ExportConfig(), synthetic.uri, str(tmp_path / "export"))
    with pytest.raises(UsageError, match="is the dataset, or is inside it"):
        export(ExportConfig(), synthetic.uri, f"{synthetic.uri}/export")


@pytest.mark.parametrize("name", [".env", ".git/config", "train/.remarks"])
def test_a_folder_with_hidden_files_is_refused(synthetic, tmp_path, name):
    hidden = tmp_path / "export" / name
    hidden.parent.mkdir(parents=True)
    hidden.write_text("KEY=1\n")
    with pytest.raises(UsageError, match=rf"holds other files \({re.escape(name)}\)"):
        export(ExportConfig(), synthetic.uri, str(tmp_path / "export"))
    assert hidden.read_text() == "KEY=1\n"


def test_a_folder_with_what_a_killed_writer_has_left_is_taken(synthetic, tmp_path):
    (tmp_path / "export").mkdir()
    for name in (".lesiongen.lock", f".README.md.{'0' * 16}.partial"):
        (tmp_path / "export" / name).touch()
    assert export(ExportConfig(), synthetic.uri, str(tmp_path / "export")).record.images == 12


def test_an_export_of_a_call_that_was_killed_before_its_report_is_kept(exported, synthetic, monkeypatch):
    monkeypatch.setattr("lesiongen.storage.folder_lock._holder", lambda _: "a killed process")
    before = (exported / "export.json").read_bytes()
    result = export(ExportConfig(model_name="lesions-2026"), synthetic.uri, str(exported))
    assert result.record.images == 12
    assert (exported / "export.json").read_bytes() == before
    with pytest.raises(UsageError, match="already holds an export"):
        export(ExportConfig(model_name="another"), synthetic.uri, str(exported))


def test_several_processes_write_the_same_files(exported, synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr("lesiongen.exporting.stage.SMALL", 0)
    monkeypatch.setattr("lesiongen.exporting.stage._AT_ONCE", 2)
    export(ExportConfig(model_name="lesions-2026"), synthetic.uri, str(tmp_path / "again"))
    for path in exported.rglob("*.png"):
        assert (tmp_path / "again" / path.relative_to(exported)).read_bytes() == path.read_bytes()


def test_each_split_has_a_folder_and_a_table(publish, tmp_path):
    splits = ("test", "train", "train")
    dataset = publish([replace(drawn(number), split=split) for number, split in enumerate(splits)])
    result = export(ExportConfig(), dataset.uri, str(tmp_path / "export"))
    assert result.record.splits == {"train": 2, "test": 1}
    assert [row["index"] for row in table(tmp_path / "export", "test")] == ["0"]
    assert [row["index"] for row in table(tmp_path / "export")] == ["1", "2"]


def test_near_copies_that_a_selection_dropped_are_stated(tmp_path):
    report = SelectionReport(threshold=0.4, classes=(SelectedClass(diagnosis="mel", near_copies=3),))
    with DatasetWriter(
        str(tmp_path / "selected"), name="selected", licence="CC0-1.0", origin=SelectOrigin(stage="select")
    ) as writer:
        writer.add(drawn(0))
        writer.documents["selection.json"] = report.text()
    result = export(ExportConfig(), str(tmp_path / "selected"), str(tmp_path / "export"))
    assert result.record.near_copies_left_out_before == 3
    assert "dropped 3 near copies" in (tmp_path / "export" / "README.md").read_text()


def test_a_failed_export_leaves_nothing(synthetic, tmp_path, monkeypatch):
    def fail(*_: object) -> bytes:
        raise DataError("no")

    monkeypatch.setattr("lesiongen.exporting.stage.marked_png", fail)
    with pytest.raises(DataError):
        export(ExportConfig(), synthetic.uri, str(tmp_path / "export"))
    assert not [path for path in tmp_path.iterdir() if "export" in path.name]


@pytest.mark.parametrize("form", ["isic", "image_folder"])
def test_ingest_reads_an_export_as_synthetic_images(exported, tmp_path, form):
    result = ingest(IngestConfig(format=form, on_error="fail"), str(exported), str(tmp_path / "again"))
    again = Dataset.open(result.dataset.uri).metadata()
    assert sorted(again["diagnosis"]) == sorted(DIAGNOSES * 4)
    assert all(map(is_synthetic, again["provenance"]))
    assert set(again["split"]) == {"train"}
    assert again["licence"].isin(["CC BY-NC 4.0", "CC-BY-NC"]).all() or form == "image_folder"


# datasets leaves the table open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_hugging_face_opens_it(exported, tmp_path):
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    for arguments in ({"path": "imagefolder", "data_dir": str(exported)}, {"path": str(exported)}):
        loaded = load_dataset(**arguments, cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["train"]
        assert loaded["train"].num_rows == 12
        rows = {row["isic_id"]: row for row in loaded["train"]}
        row = rows["lesions-synthetic-0000002"]
        assert (row["diagnosis"], row["image_manipulation"], row["age_approx"]) == (
            "melanocytic nevus",
            "synthetic",
            60,
        )
        assert np.array_equal(np.asarray(row["image"]), np.asarray(picture(1)))
    gc.collect()  # the warning comes here, not in another test


def test_every_field_of_a_drawn_image_is_handed_on_but_the_address():
    drawn_image = provenance(3)
    assert handed_on(drawn_image.text()) == drawn_image.for_image()


def test_an_earlier_release_hands_on_what_it_recorded():
    content = json.loads(provenance(3).text())
    del content["precision"]
    facts = handed_on(json.dumps(content | {"seed": "a patient", "index": None}))
    assert facts["prompt"] == provenance(3).prompt
    assert not {"precision", "seed", "index", "model"} & set(facts)


def test_images_of_another_program_say_no_more_than_that_they_are_synthetic(publish, tmp_path):
    foreign = IngestedProvenance(image_manipulation="synthetic").text()
    dataset = publish([replace(drawn(index), provenance=foreign) for index in range(2)])
    export(ExportConfig(), dataset.uri, str(tmp_path / "export"))
    row = table(tmp_path / "export")[0]
    assert (row["image_manipulation"], row["caption"], row["seed"]) == ("synthetic", "", "")
    text = (tmp_path / "export" / "README.md").read_text()
    assert "came from another program" in text
    assert "the one that it was drawn for" not in text
    assert "exported with LesionGen" in text
    assert DatasetCard(text).data.task_categories == ["image-classification"]


def test_the_levels_of_a_class_hold_for_all_of_it():
    """Every diagnosis of the archive that is of a class begins with the levels that its images get."""
    tree = Path(__file__).parents[1] / "dataset" / "isic_diagnoses.txt"
    known = [line for line in tree.read_text().splitlines() if not line.startswith("#")]
    for code in TAXONOMY:
        levels = LEVELS.get(code, ())
        assert not levels or ":".join(levels) in known, code
        for line in known:
            if levels and resolve_diagnosis(line) == code:
                assert tuple(line.split(":")[:2])[: len(levels)] == levels[:2][: line.count(":") + 1], line


def test_unknown_values_of_the_configuration_are_refused():
    with pytest.raises(UsageError, match="leave_out"):
        parse_config(ExportConfig, {"leave_out": "everything"})
    assert ExportRecord().made_as(ExportRecord(created="2026-01-01"))


def test_images_are_exported_to_s3(synthetic, s3_root):
    from lesiongen.storage import open_storage

    result = export(ExportConfig(), synthetic.uri, f"{s3_root}/export")
    keys = {item.key for item in open_storage(result.uri).list()}
    assert {"README.md", "LICENSE", "SHA256SUMS", "export.json", "train/metadata.csv"} <= keys
    assert sum(key.endswith(".png") for key in keys) == 12
    with pytest.raises(UsageError, match="already holds an export"):
        export(ExportConfig(), synthetic.uri, f"{s3_root}/export")
