import io

import pytest
from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures

PAD = IngestConfig(format="pad_ufes_20")


def samples_of(source, output):
    ingest(PAD, str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def test_a_row_arrives_with_tone_site_and_a_lesion_of_its_patient(tmp_path):
    samples = samples_of(miniatures.pad_ufes_20(tmp_path / "pad"), tmp_path / "out")
    sample = samples["PAT_2_1_4"]
    assert (sample.diagnosis, sample.original_diagnosis, sample.image_type) == ("scc", "SCC", "clinical")
    assert (sample.patient_id, sample.lesion_id) == ("PAT_2", "PAT_2/1")
    assert (sample.skin_tone, sample.skin_tone_scale, sample.skin_tone_source) == ("5", "fitzpatrick", "metadata")
    assert (sample.age, sample.sex, sample.site) == (55.0, "female", "lower leg")
    assert (sample.licence, sample.source) == ("CC BY 4.0", "pad_ufes_20")
    blank = samples["PAT_1_2_2"]
    assert (blank.sex, blank.skin_tone, blank.skin_tone_scale, blank.skin_tone_source) == (None,) * 4


def test_what_gives_the_diagnosis_away_stays_outside_and_patients_stay_together(tmp_path):
    samples_of(miniatures.pad_ufes_20(tmp_path / "pad"), tmp_path / "out")
    table = Dataset.open(str(tmp_path / "out")).metadata()
    cells = {str(value) for value in table.to_numpy().ravel()}
    assert not cells & {"True", "False", "UNK", "BRASIL", "6.0"}
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()


def test_transparent_photographs_become_rgb(tmp_path):
    for sample in samples_of(miniatures.pad_ufes_20(tmp_path / "pad"), tmp_path / "out").values():
        with Image.open(io.BytesIO(sample.image)) as image:
            assert image.mode == "RGB"


def test_photographs_converted_to_jpeg_are_read_by_the_table_of_the_originals(tmp_path):
    source = miniatures.pad_ufes_20(tmp_path / "source")
    for path in list(source.rglob("*.png")):
        with Image.open(path) as image:
            image.convert("RGB").save(path.with_suffix(".jpg"))
        path.unlink()
    assert ingest(IngestConfig(format="pad_ufes_20"), str(source), str(tmp_path / "out")).accepted == 18


@pytest.mark.parametrize("column", ["patient_id", "lesion_id"])
def test_a_row_without_patient_or_lesion_is_refused(tmp_path, column):
    source = miniatures.pad_ufes_20(tmp_path / "pad", changes={3: {column: ""}})
    with pytest.raises(DataError, match=rf"metadata\.csv, row 5, {column} = '': is blank"):
        samples_of(source, tmp_path / "out")


def test_the_real_subset(shared_data, tmp_path):
    result = ingest(PAD, str(shared_data / "pad_ufes_20_subset"), str(tmp_path / "out"))
    assert result.accepted == 242
    assert result.dataset.classes == {"akiec": 72, "bcc": 88, "bkl": 27, "mel": 8, "nv": 27, "scc": 20}
    tones = Dataset.open(str(tmp_path / "out")).metadata(["skin_tone"])["skin_tone"].value_counts().to_dict()
    assert tones == {"1": 16, "2": 94, "3": 42, "4": 13, "5": 2, "6": 1}
