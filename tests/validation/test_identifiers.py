"""Ids that look like a person, among ids that do not."""

import pandas as pd
import pytest

from lesiongen.validation.identifiers import ID_COLUMNS, with_identifiers

KINDS = ("name", "date", "record_number")
PLANTED = {
    "name": ["SMITH_JOHN", "mueller-anna-2", "JohnSmith3", "Smith^John", "O'Brien_Mary", "Müller_Änna", "Doe, Jane"],
    "date": ["1957-03-02", "02.03.1957", "02/03/57", "19570302", "02031957", "IMG_20190312", "020357-1234"],
    "record_number": [
        "MRN0012345", "12345678", "123456789", "1234567890", "00123456", "4711081_left_12345678", "123-45-6789",
        "A123456789", "943 476 5919",
    ],
}  # fmt: skip
PLAIN = [
    *(f"ISIC_{number:07d}" for number in range(12_100, 12_140)), "PAT_1516_1765_530", "PAT_2010_4323_12", "HAM_0000118",
    "5e82a45bc5d78bd24ae9202d194423f8", "1957030219570302", "123e4567-e89b-12d3-a456-426614174000", "NEL/NEL025",
    "000123456789", "synthetic-000012", "phantom-nv-3", "benign_nevus_12", "left_arm", "acne-cystic-12", "patient_a",
    "DSC_0001", "P001", "1", "12", "seborrheic_keratosis",
]  # fmt: skip


def _found(ids, column="patient_id"):
    table = pd.DataFrame({"age": None} | {name: ids if name == column else [None] * len(ids) for name in ID_COLUMNS})
    judged = with_identifiers(table)
    return {
        value: kind for kind in KINDS for value, columns in zip(ids, judged[f"id_like_{kind}"], strict=True) if columns
    }


@pytest.mark.parametrize("column", ID_COLUMNS)
def test_planted_ids_are_found_and_no_others(column):
    ids = [*PLAIN, *(value for values in PLANTED.values() for value in values)]
    assert _found(ids, column) == {value: kind for kind, values in PLANTED.items() for value in values}


def test_numbers_that_count_and_words_that_recur_are_no_identifiers():
    assert _found([str(10_000_000 + number) for number in range(400)]) == {}
    assert _found([f"acme_trial_{number}" for number in range(100)]) == {}
    assert _found([f"acme_{word}" for word in ("foo", "bare", "baz", "qua", "quo", "quux")]) == {}
    assert len(_found([str(10_000_000 + 7919 * number) for number in range(400)])) == 400


def test_no_id_of_the_public_tables_is_found(shared_data):
    for name, column in (
        ("ham10000_subset/HAM10000_metadata.csv", "lesion_id"),
        ("isic2017/metadata.csv", "image_id"),
        ("pad_ufes_20_subset/metadata_full_2298.csv", "patient_id"),
        ("pad_ufes_20_subset/metadata_full_2298.csv", "img_id"),
        ("tables/fitzpatrick17k.csv", "md5hash"),
        ("tables/ISIC_2019_Training_Metadata.csv", "image"),
    ):
        assert _found(list(pd.read_csv(shared_data / name, dtype=str)[column].unique())) == {}, name


def test_ages_over_89_are_found_and_ages_that_are_none_are_not():
    table = pd.DataFrame({"age": [None, 0, 89, 90, 120, 121, 999]}).assign(**dict.fromkeys(ID_COLUMNS))
    assert list(with_identifiers(table)["identifying_age"].dropna()) == [90, 120]
