"""Every label of the public collections has its class, and no name has two."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from lesiongen.dataset import DIAGNOSES, REFERENCE_DIAGNOSES, diagnosis_phrase, is_malignant, resolve_diagnosis
from lesiongen.dataset.diagnosis_names import NAMES
from lesiongen.dataset.isic_names import ISIC_NAMES
from lesiongen.dataset.taxonomy import _plain

DERM7PT = {
    "basal cell carcinoma": "bcc",
    "blue nevus": "nv",
    "clark nevus": "nv",
    "combined nevus": "nv",
    "congenital nevus": "nv",
    "dermal nevus": "nv",
    "dermatofibroma": "df",
    "lentigo": "lentigo",
    "melanoma": "mel",
    "melanoma (in situ)": "mel",
    "melanoma (less than 0.76 mm)": "mel",
    "melanoma (0.76 to 1.5 mm)": "mel",
    "melanoma (more than 1.5 mm)": "mel",
    "melanoma metastasis": "mel",
    "melanosis": "lentigo",
    "miscellaneous": "other",
    "recurrent nevus": "nv",
    "reed or spitz nevus": "nv",
    "seborrheic keratosis": "bkl",
    "vascular lesion": "vasc",
}
DDI_MALIGNANT = (
    "melanoma-in-situ mycosis-fungoides squamous-cell-carcinoma-in-situ basal-cell-carcinoma squamous-cell-carcinoma "
    "melanoma-acral-lentiginous basal-cell-carcinoma-superficial squamous-cell-carcinoma-keratoacanthoma "
    "subcutaneous-t-cell-lymphoma basal-cell-carcinoma-nodular kaposi-sarcoma metastatic-carcinoma melanoma "
    "nodular-melanoma-(nm) leukemia-cutis sebaceous-carcinoma blastic-plasmacytoid-dendritic-cell-neoplasm"
).split()
DDI_BENIGN = (
    "melanocytic-nevi seborrheic-keratosis-irritated focal-acral-hyperkeratosis hyperpigmentation lipoma "
    "foreign-body-granuloma blue-nevus verruca-vulgaris acrochordon wart epidermal-nevus "
    "abrasions-ulcerations-and-physical-injuries epidermal-cyst acquired-digital-fibrokeratoma seborrheic-keratosis "
    "trichilemmoma pyogenic-granuloma neurofibroma syringocystadenoma-papilliferum nevus-lipomatosus-superficialis "
    "benign-keratosis inverted-follicular-keratosis onychomycosis dermatofibroma trichofolliculoma "
    "lymphocytic-infiltrations prurigo-nodularis scar eccrine-poroma angioleiomyoma keloid hematoma angioma "
    "folliculitis xanthogranuloma eczema-spongiotic-dermatitis arteriovenous-hemangioma acne-cystic "
    "verruciform-xanthoma molluscum-contagiosum condyloma-accuminatum morphea neuroma dysplastic-nevus "
    "pigmented-spindle-cell-nevus-of-reed dermatomyositis glomangioma cellular-neurothekeoma fibrous-papule "
    "graft-vs-host-disease lichenoid-keratosis reactive-lymphoid-hyperplasia coccidioidomycosis chondroid-syringoma "
    "tinea-pedis solar-lentigo clear-cell-acanthoma abscess acral-melanotic-macule"
).split()
PARTITIONS = {
    "inflammatory": "inflammatory",
    "genodermatoses": "genodermatosis",
    "benign dermal": "benign_dermal",
    "benign epidermal": "benign_epidermal",
    "benign melanocyte": "nv",
    "malignant melanoma": "mel",
    "malignant dermal": "malignant_dermal",
    "malignant cutaneous lymphoma": "lymphoma",
}
# The labels that HAM10000's own classes take out of their partition.
BY_NAME = {
    "actinic keratosis": "akiec",
    "basal cell carcinoma": "bcc",
    "basal cell carcinoma morpheiform": "bcc",
    "solid cystic basal cell carcinoma": "bcc",
    "squamous cell carcinoma": "scc",
    "dermatofibroma": "df",
    "granuloma pyogenic": "vasc",
    "pyogenic granuloma": "vasc",
    "seborrheic keratosis": "bkl",
}


def test_no_name_has_two_classes():
    names = [name for names in NAMES.values() for name in names]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert set(NAMES) == set(DIAGNOSES)
    for code, diagnosis in DIAGNOSES.items():
        for spelling in (code, diagnosis.name, diagnosis.phrase, *NAMES[code]):
            assert resolve_diagnosis(spelling) == code, spelling


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Bowen\u2019s disease", "akiec"),
        ("Squamous-Cell_Carcinoma,  in situ", "akiec"),
        ("Melanoma, NOS", "mel"),
        ("benign_dermal", "benign_dermal"),
        ("epidermal nevus", "benign_epidermal"),
        ("nevus lipomatosus superficialis", "benign_dermal"),
        ("becker nevus", "benign_dermal"),
        ("Benign melanocytic proliferations", "nv"),
        ("Malignant melanocytic proliferations (Melanoma)", "mel"),
        ("Benign soft tissue proliferations - Vascular", "vasc"),
        ("Benign soft tissue proliferations - Fibro-histiocytic", "benign_dermal"),
        ("Benign epidermal proliferations", "benign_epidermal"),
        ("Infundibular or epidermal cyst", "benign_dermal"),
        ("Trichilemmal or isthmic-catagen or pilar cyst", "benign_dermal"),
        ("Angiofibroma, Facial", "benign_dermal"),
        ("Inflammatory or infectious diseases", "inflammatory"),
        ("AIMP", "other"),
        ("Benign keratosis-like lesions ", "bkl"),
        ("Vascular lesions", "vasc"),
        ("pyoderma", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_labels_are_read_whatever_their_case_and_signs(text, code):
    assert resolve_diagnosis(text) == code


def test_derm7pts_twenty_diagnoses():
    assert {label: resolve_diagnosis(label) for label in DERM7PT} == DERM7PT


def test_ddis_diseases_are_malignant_where_ddi_says_so():
    assert {label: DIAGNOSES[resolve_diagnosis(label)].malignant for label in DDI_MALIGNANT} == dict.fromkeys(
        DDI_MALIGNANT, True
    )
    assert {label: DIAGNOSES[resolve_diagnosis(label)].malignant for label in DDI_BENIGN} == dict.fromkeys(
        DDI_BENIGN, False
    )
    # DDI counts actinic keratoses as benign, the taxonomy as pre-malignant; the atypical nevus of Reed, which DDI
    # counts as malignant, is taught as no nevus.
    assert resolve_diagnosis("actinic-keratosis") == "akiec"
    assert resolve_diagnosis("atypical-spindle-cell-nevus-of-reed") == "other"
    assert DIAGNOSES["other"].malignant is None


def test_fitzpatrick17ks_labels_follow_its_partitions_except_by_name(shared_data):
    with (shared_data / "tables" / "fitzpatrick17k.csv").open(newline="") as file:
        labels = {row["label"]: row["nine_partition_label"] for row in csv.DictReader(file)}
    assert len(labels) == 114
    found = {label: resolve_diagnosis(label) for label in labels}
    assert found == {label: BY_NAME.get(label) or PARTITIONS[partition] for label, partition in labels.items()}


def test_the_reference_methods_classes_come_first_and_keep_their_wording():
    assert REFERENCE_DIAGNOSES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert tuple(DIAGNOSES)[:7] == REFERENCE_DIAGNOSES
    assert diagnosis_phrase("benign_dermal") == "benign dermal growth"
    assert diagnosis_phrase("pyoderma") == "pyoderma"


def test_every_diagnosis_of_the_isic_archive_has_a_class_that_agrees_on_malignancy():
    lines = (Path(__file__).parent / "isic_diagnoses.txt").read_text().splitlines()[1:]
    assert len(lines) == len(set(lines)) == 418
    codes = {line: resolve_diagnosis(line) for line in lines}
    by_level = {line: resolve_diagnosis(line.rsplit(":", 1)[-1]) for line in lines}
    assert codes == by_level
    assert [line for line, code in codes.items() if code is None] == []
    stated = {"Benign": False, "Malignant": True}
    disagreeing = {
        line: code
        for line, code in codes.items()
        if (level := line.split(":")[0]) in stated
        and code in DIAGNOSES
        and DIAGNOSES[code].malignant not in (None, stated[level])
    }
    assert disagreeing == {}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Benign", "benign"),
        ("malignant", "malignant"),
        ("Indeterminate", "other"),
        ("Benign:Cysts", "benign_dermal"),
        ("Benign:Cysts:Milium", "benign_epidermal"),
        ("Benign:Cysts:of a kind not listed", "benign_dermal"),
        ("Benign:not listed", None),
        ("not: melanoma", None),
        ("Benign:Exogenous:Tattoo", "inflammatory"),
        ("Ephelis", "lentigo"),
        ("Capillary vascular malformation", "benign_dermal"),
        ("Merkel cell proliferation", "malignant_epidermal"),
        ("Lymphocytic proliferations - B-Cell", "lymphoma"),
        ("SCCKA", "scc"),
        ("BEN_OTH", "other"),
        ("Cylindroma", "benign_dermal"),
        ("Cylindoma", "benign_dermal"),
    ],
)
def test_levels_and_everyday_names_of_the_isic_archive(text, code):
    assert resolve_diagnosis(text) == code


def test_no_name_of_the_isic_archive_has_two_classes():
    names = [_plain(name) for names in (*NAMES.values(), *ISIC_NAMES.values()) for name in names]
    known = {_plain(text) for code in DIAGNOSES for text in (code, DIAGNOSES[code].name, DIAGNOSES[code].phrase)}
    counts = Counter(names)
    assert [_plain(name) for names in ISIC_NAMES.values() for name in names if counts[_plain(name)] > 1] == []
    assert known.isdisjoint(_plain(name) for names in ISIC_NAMES.values() for name in names)


def test_malignancy_of_a_class_that_nobody_knows_is_not_guessed():
    found = {code: is_malignant(code) for code in ("mel", "bkl", "malignant", "benign", "other", "rash")}
    assert found == {"mel": True, "bkl": False, "malignant": True, "benign": False, "other": None, "rash": None}
