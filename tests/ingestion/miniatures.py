"""Small collections in the columns, values and traps of the real ones, whose images are not at hand.

Each function writes one collection into a new folder and returns the folder. A row can be changed by its number
(``changes={3: {"diagnosis": "x"}}``), so that a test shows what it changes and nothing else.
"""

import csv
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from lesiongen.concepts.experts import SKINCON_CONCEPTS
from lesiongen.ingestion.sources.source import Source
from lesiongen.storage import LocalStorage

Changes = Mapping[int, Mapping[str, str]]
UNUSABLE = "Do not consider this image"

DERM7PT_COLUMNS = (
    "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,"
    "dots_and_globules,blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,"
    "management,clinic,derm,case_id,notes"
).split(",")
SKINCAP_COLUMNS = {
    "csv": ("caption_zh", "caption_zh_polish", "caption_zh_polish_en"),
    "xlsx": ("caption_zh", "caption_en"),
}


def opened(folder: Path) -> Source:
    """Returns a folder as the readers get it."""
    return Source(LocalStorage(str(folder)), ExitStack())


def picture(seed: int, size: tuple[int, int] = (24, 18)) -> Image.Image:
    """Returns noise: every seed another picture."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def write_picture(path: Path, seed: int) -> None:
    """Writes a picture with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Writes a table with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


def _changed(rows: Iterable[Mapping[str, str]], changes: Changes | None) -> list[dict[str, str]]:
    return [{**row, **(changes or {}).get(number, {})} for number, row in enumerate(rows)]


def _skincon(number: int) -> dict[str, str]:
    """Marks of an image: a papule on every second, erythema on every third."""
    marks = dict.fromkeys(SKINCON_CONCEPTS, "0")
    return marks | {"Papule": str(int(number % 2 == 0)), "Erythema": str(int(number % 3 == 0)), UNUSABLE: "0"}


def derm7pt(folder: Path, count: int = 24, *, changes: Changes | None = None, without: Sequence[str] = ()) -> Path:
    """derm7pt's release_v0: two photographs of a case, the case's own split, the index tables out of order.

    Cases 0 and 1 share their clinical photograph, as some of the real ones do.
    """
    diagnoses = ("melanoma (in situ)", "clark nevus", "basal cell carcinoma", "lentigo", "miscellaneous")
    rows = [
        {
            "case_num": str(number + 1),
            "diagnosis": diagnoses[number % 5],
            "seven_point_score": "7",
            "pigment_network": ("absent", "typical", "atypical")[number % 3],
            "streaks": "irregular",
            "pigmentation": "diffuse irregular",
            "regression_structures": "combinations",
            "dots_and_globules": "absent",
            "blue_whitish_veil": "present",
            "vascular_structures": "linear irregular",
            "level_of_diagnostic_difficulty": "high",
            "elevation": ("flat", "palpable", "nodular")[number % 3],
            "location": "lower limbs",
            "sex": ("female", "male")[number % 2],
            "management": "excision",
            "clinic": f"NEL/NEL{max(number, 1) * 2 - 1:03}.jpg",
            "derm": f"NEL/Nel{number * 2 + 100:03}.jpg",
            "case_id": "",
            "notes": "mitotic rate high",
        }
        for number in range(count)
    ]
    rows = _changed(rows, changes)
    write_csv(folder / "meta" / "meta.csv", DERM7PT_COLUMNS, rows)
    splits = {"train": range(0, count, 2), "valid": range(1, count, 4), "test": range(3, count, 4)}
    for split, numbers in splits.items():
        indexes = [{"indexes": str(number)} for number in reversed(numbers)]
        write_csv(folder / "meta" / f"{split}_indexes.csv", ("indexes",), indexes)
    for name in sorted({row[column] for row in rows for column in ("clinic", "derm")} - set(without)):
        if name and ".." not in name:
            write_picture(folder / "images" / name, seed=zlib.crc32(name.encode()))
    return folder


def fitzpatrick17k(folder: Path, table: Path, hashes: Sequence[str] = (), *, count: int = 40) -> Path:
    """Fitzpatrick17k: the real table, whole, and images for some of its rows (the first where none are named)."""
    folder.mkdir(parents=True)
    (folder / "fitzpatrick17k.csv").write_bytes(table.read_bytes())
    with table.open(newline="", encoding="utf-8") as file:
        first = [row["md5hash"] for row in islice(csv.DictReader(file), count)]
    for md5hash in hashes or first:
        write_picture(folder / "images" / f"{md5hash}.jpg", seed=zlib.crc32(md5hash.encode()))
    return folder


def fitzpatrick17k_rows(table: Path) -> list[dict[str, str]]:
    """Returns the rows of Fitzpatrick17k's real table."""
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def small_fitzpatrick17k(folder: Path, count: int = 24, *, changes: Changes | None = None, without: int = 0) -> Path:
    """Fitzpatrick17k with a generated table, for machines without the real one; the last images can be left out."""
    labels = (
        ("psoriasis", "inflammatory", "non-neoplastic"),
        ("basal cell carcinoma morpheiform", "malignant epidermal", "malignant"),
        ("nevocytic nevus", "benign melanocyte", "benign"),
        ("neurofibromatosis", "genodermatoses", "non-neoplastic"),
    )
    rows = [
        {
            "md5hash": f"{number + 1:032x}",
            "fitzpatrick_scale": ("3", "-1", "6")[number % 3],
            "fitzpatrick_centaur": ("3", "2", "-1")[number % 3],
            **dict(zip(("label", "nine_partition_label", "three_partition_label"), labels[number % 4], strict=True)),
            "qc": "3 Wrongly labelled" if number == 7 else "",
            "url": "" if number == count - 1 else f"https://example.org/{number}.jpg",
            "url_alphanum": f"httpsexampleorg{number}jpg.jpg",
        }
        for number in range(count)
    ]
    for number, row in enumerate(rows[: count - without]):
        write_picture(folder / "images" / f"{row['md5hash']}.jpg", seed=number)
    write_csv(folder / "fitzpatrick17k.csv", tuple(rows[0]), _changed(rows, changes))
    return folder


def skincon_table(path: Path, images: Sequence[str], changes: Changes | None = None) -> None:
    """SkinCon's table of a collection, with its unnamed first column."""
    rows = [{"": str(number), "ImageID": name, **_skincon(number)} for number, name in enumerate(images)]
    write_csv(path, ("", "ImageID", *SKINCON_CONCEPTS, UNUSABLE), _changed(rows, changes))


def ddi(folder: Path, *, changes: Changes | None = None, malignant: str = "malignant", copies: int = 1) -> Path:
    """DDI: an unnamed first column, malignant as TRUE and FALSE, diseases in hyphens, images beside the table."""
    diseases = {
        "melanoma-in-situ": "TRUE",
        "melanocytic-nevi": "FALSE",
        "squamous-cell-carcinoma": "TRUE",
        "seborrheic-keratosis-irritated": "FALSE",
        "actinic-keratosis": "FALSE",
        "mycosis-fungoides": "TRUE",
        "acral-melanotic-macule": "FALSE",
        "atypical-spindle-cell-nevus-of-reed": "TRUE",
    }
    rows = [
        {
            "": str(number),
            "DDI_ID": str(number + 1),
            "DDI_file": f"{number + 1:06}.png",
            "skin_tone": ("12", "34", "56")[number % 3],
            malignant: mark,
            "disease": disease,
        }
        for number, (disease, mark) in enumerate(list(diseases.items()) * copies)
    ]
    write_csv(folder / "ddi_metadata.csv", tuple(rows[0]), _changed(rows, changes))
    for number, row in enumerate(rows):
        write_picture(folder / row["DDI_file"], seed=number)
    return folder


def skincap_rows(kind: str, count: int = 12) -> list[dict[str, str]]:
    """Rows of SkinCAP, every third from DDI; numbers of the other collection are blank."""
    diseases = ("psoriasis", "basal cell carcinoma", "melanocytic-nevi")
    rows = []
    for number in range(count):
        from_ddi = number % 3 == 2
        disease = diseases[number % 3]
        caption = (
            f"The photo shows the back of the hand, red plaques with {number} white scales, the edge is clear, "
            f"consider {disease.replace('-', ' ')}. Further biopsy is recommended."
        )
        rows.append(
            {
                "id": str(number + 1),
                "skincap_file_path": f"{number + 1}.png",
                "ori_file_path": f"{number:06}.png" if from_ddi else f"{number:032x}.jpg",
                "disease": disease,
                **dict.fromkeys(SKINCAP_COLUMNS[kind][:-1], "手背可见红色斑块"),
                SKINCAP_COLUMNS[kind][-1]: caption,
                "remark": "checked twice",
                "source": "ddi" if from_ddi else "fitzpatrick17k",
                "skin_tone": "56.0" if from_ddi else "",
                "malignant": "0.0" if from_ddi else "",
                "fitzpatrick_scale": "" if from_ddi else ("3.0", "-1.0")[number % 2],
                "fitzpatrick_centaur": "" if from_ddi else "4.0",
                "nine_partition_label": "" if from_ddi else "inflammatory",
                "three_partition_label": "" if from_ddi else "non-neoplastic",
                **_skincon(number),
            }
        )
    return rows


def skincap(folder: Path, kind: str = "csv", *, changes: Changes | None = None) -> Path:
    """SkinCAP: the table of a release, images in skincap, and further ones in skincap/not_include.

    The workbook has a line of titles above its header, as the real one has.
    """
    rows = _changed(skincap_rows(kind), changes)
    if kind == "csv":
        write_csv(folder / "skincap_v240623.csv", tuple(rows[0]), rows)
    else:
        _write_workbook(folder / "skincap_v240715.xlsx", rows)
    for number, row in enumerate(skincap_rows(kind)):
        write_picture(folder / "skincap" / row["skincap_file_path"], seed=number)
    for number in (9001, 9002):
        write_picture(folder / "skincap" / "not_include" / f"{number}.png", seed=number)
    return folder


def _write_workbook(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    import openpyxl

    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["SkinCAP", None, None, "labels"])
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append([_number(cell) for cell in row.values()])
    book.save(path)


def _number(cell: str) -> str | float | None:
    """Returns a cell as a workbook holds it: numbers as numbers, blanks as nothing."""
    try:
        return float(cell)
    except ValueError:
        return cell or None


ISIC_2019_CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
PAD_COLUMNS = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,"
    "cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,"
    "hurt,changed,bleed,elevation,img_id,biopsed"
).split(",")
_PAD_BLANK = (
    "smoke,drink,background_father,background_mother,pesticide,gender,skin_cancer_history,cancer_history,"
    "has_piped_water,has_sewage_system,fitspatrick,diameter_1,diameter_2"
).split(",")


def ham10000(folder: Path, count: int = 18, *, changes: Changes | None = None) -> Path:
    """HAM10000 as Kaggle hands it out: three photographs of a lesion."""
    rows = [
        {
            "lesion_id": f"HAM_{number // 3:07}",
            "image_id": f"ISIC_{number:07}",
            "dx": ("nv", "mel", "bkl")[number // 3 % 3],
            "dx_type": "histo",
            "age": "45.0",
            "sex": "female",
            "localization": "back",
        }
        for number in range(count)
    ]
    write_csv(folder / "HAM10000_metadata.csv", tuple(rows[0]), _changed(rows, changes))
    for number, row in enumerate(rows):
        write_picture(folder / "HAM10000_images_part_1" / f"{row['image_id']}.jpg", seed=number)
    return folder


def one_hot(classes: Sequence[str], marked: str) -> dict[str, str]:
    """A row of a challenge's table of diagnoses."""
    return {name: "1.0" if name == marked else "0.0" for name in classes}


def isic(folder: Path, count: int = 18, *, changes: Changes | None = None) -> Path:
    """ISIC 2019: diagnoses as ones and zeros, and a table of metadata in which cells are blank."""
    images = [f"ISIC_{number:07}{'_downsampled' if number % 2 else ''}" for number in range(count)]
    rows = [
        {"image": image, **one_hot(ISIC_2019_CLASSES, ISIC_2019_CLASSES[number % 8])}
        for number, image in enumerate(images)
    ]
    about = [
        {
            "image": image,
            "age_approx": ("", "55.0", "85")[number % 3],
            "anatom_site_general": ("", "anterior torso")[number % 2],
            "lesion_id": ("", f"BCN_{number // 4:07}")[number % 2],
            "sex": ("", "female", "male")[number % 3],
        }
        for number, image in enumerate(images)
    ]
    write_csv(folder / "ISIC_2019_Training_GroundTruth.csv", tuple(rows[0]), _changed(rows, changes))
    write_csv(folder / "ISIC_2019_Training_Metadata.csv", tuple(about[0]), about)
    for number, image in enumerate(images):
        write_picture(folder / "ISIC_2019_Training_Input" / f"{image}.jpg", seed=number)
    return folder


def pad_ufes_20(folder: Path, count: int = 18, *, changes: Changes | None = None) -> Path:
    """PAD-UFES-20: lesions numbered by patient, blank interviews where there is no cancer, RGBA beside RGB."""
    diagnoses = ("BCC", "ACK", "NEV", "SEK", "SCC", "MEL")
    rows = []
    for number in range(count):
        patient, lesion = f"PAT_{number // 2}", str(number % 3)
        row = dict.fromkeys(PAD_COLUMNS, "False") | {
            "patient_id": patient,
            "lesion_id": lesion,
            "smoke": "UNK",
            "background_father": ("BRASIL", "BRAZIL")[number % 2],
            "age": "55",
            "gender": ("FEMALE", "MALE")[number % 2],
            "fitspatrick": f"{number % 6 + 1}.0",
            "region": "LOWER LEG",
            "diameter_1": "6.0",
            "diagnostic": diagnoses[number % 6],
            "img_id": f"{patient}_{lesion}_{number}.png",
            "biopsed": str(number % 6 in (0, 4, 5)),
        }
        rows.append(row | (dict.fromkeys(_PAD_BLANK, "") if number % 6 == 2 else {}))
    write_csv(folder / "metadata.csv", PAD_COLUMNS, _changed(rows, changes))
    for number, row in enumerate(rows):
        path = folder / "images" / f"imgs_part_{number % 3 + 1}" / row["img_id"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).convert("RGBA" if number % 2 else "RGB").save(path)
    return folder


def image_folder(folder: Path, count: int = 18, *, changes: Changes | None = None) -> Path:
    """A folder with a table in the layout of the `datasets` library."""
    rows = [
        {"file_name": f"images/{number}.png", "diagnosis": ("nv", "mel", "bkl")[number % 3], "age": "45", "sex": "male"}
        for number in range(count)
    ]
    write_csv(folder / "metadata.csv", tuple(rows[0]), _changed(rows, changes))
    for number, row in enumerate(rows):
        write_picture(folder / row["file_name"], seed=number)
    return folder


MILK10K_CLASSES = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
_MILK10K_EXACT = (
    "Solar or actinic keratosis",
    "Basal cell carcinoma",
    "Sebaceous hyperplasia",
    "Seborrheic keratosis",
    "Dermatofibroma",
    "Inflammatory or infectious diseases",
    "Collision - At least one malignant proliferation",
    "Melanoma in situ",
    "Nevus, NOS, Junctional",
    "Keratoacanthoma",
    "Hemangioma",
)
MONET = (
    "MONET_ulceration_crust,MONET_hair,MONET_vasculature_vessels,MONET_erythema,MONET_pigmented,"
    "MONET_gel_water_drop_fluid_dermoscopy_liquid,MONET_skin_markings_pen_ink_purple_pen"
).split(",")


def milk10k(folder: Path, lesions: int = 11, *, changes: Changes | None = None, supplement: bool = True) -> Path:
    """MILK10k: two images of a lesion in a folder of its own, the classes by lesion, exact diagnoses by image."""
    rows = []
    for number in range(lesions * 2):
        lesion = number // 2
        rows.append(
            {
                "lesion_id": f"IL_{lesion:07}",
                "image_type": ("clinical: close-up", "dermoscopic")[number % 2],
                "isic_id": f"ISIC_{number:07}",
                "attribution": "MILK study team",
                "copyright_license": "CC-BY-NC",
                "image_manipulation": ("altered", "instrument only")[number % 2],
                "age_approx": ("", "65")[lesion % 2],
                "sex": ("", "female", "male")[lesion % 3],
                "skin_tone_class": str(lesion % 6),
                "site": ("head_neck_face", "lower_extremity", "trunk", "")[lesion % 4],
                **dict.fromkeys(MONET, "0.41"),
            }
        )
    classes = [
        {"lesion_id": f"IL_{lesion:07}", **one_hot(MILK10K_CLASSES, MILK10K_CLASSES[lesion % 11])}
        for lesion in range(lesions)
    ]
    exact = [
        {
            "isic_id": row["isic_id"],
            "diagnosis_full": _MILK10K_EXACT[number // 2 % 11],
            "diagnosis_confirm_type": "histopathology",
            "invasion_thickness_interval": "1.01 to 2.0 mm",
        }
        for number, row in enumerate(rows)
    ]
    for number, row in enumerate(rows):
        write_picture(folder / "MILK10k_Training_Input" / row["lesion_id"] / f"{row['isic_id']}.jpg", seed=number)
    write_csv(folder / "MILK10k_Training_Metadata.csv", tuple(rows[0]), _changed(rows, changes))
    write_csv(folder / "MILK10k_Training_GroundTruth.csv", tuple(classes[0]), classes)
    if supplement:
        write_csv(folder / "MILK10k_Training_Supplement.csv", tuple(exact[0]), exact)
    return folder


ISIC_2024_DIAGNOSES = (
    "Benign",
    "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma Invasive",
    "Benign::Benign melanocytic proliferations::Nevus::Nevus, NOS, Junctional",
    "Indeterminate::Indeterminate epidermal proliferations::Solar or actinic keratosis",
    "Malignant::Malignant adnexal epithelial proliferations - Follicular::Basal cell carcinoma",
    "Benign::Benign epidermal proliferations::Seborrheic keratosis",
)


def isic2024_row(number: int) -> dict[str, str]:
    """A row of ISIC 2024's table: two lesions of a patient, six diagnoses in turn."""
    full = ISIC_2024_DIAGNOSES[number % 6]
    levels = [*full.split("::"), "", "", "", ""][:5]
    return {
        "isic_id": f"ISIC_{number:07}",
        "target": "1" if full.startswith("Malignant") else "0",
        "patient_id": f"IP_{number // 2:07}",
        "age_approx": "60.0",
        "sex": ("", "male")[number % 2],
        "anatom_site_general": "posterior torso",
        "clin_size_long_diam_mm": "3.04",
        "image_type": "TBP tile: close-up",
        "tbp_tile_type": "3D: XP",
        "tbp_lv_A": "20.24",
        "attribution": "Memorial Sloan Kettering Cancer Center",
        "copyright_license": ("CC-BY", "CC-BY-NC")[number % 2],
        "lesion_id": ("", f"IL_{number:07}")[number % 2],
        "iddx_full": full,
        **{f"iddx_{place}": level for place, level in enumerate(levels, start=1)},
        "mel_mitotic_index": "",
        "mel_thick_mm": "0.4",
        "tbp_lv_dnn_lesion_confidence": "97.5",
    }


def isic2024(folder: Path, count: int = 18, *, changes: Changes | None = None) -> Path:
    """ISIC 2024 as Kaggle hands it out, with the images as JPEG files."""
    rows = _changed(map(isic2024_row, range(count)), changes)
    write_csv(folder / "train-metadata.csv", tuple(rows[0]), rows)
    for number, row in enumerate(rows):
        write_picture(folder / "train-image" / "image" / f"{row['isic_id']}.jpg", seed=number)
    return folder


def isic2016(folder: Path, *, changes: Mapping[str, str] | None = None) -> Path:
    """ISIC 2016, part 3: tables without a header, words in the training's and numbers in the test's."""
    parts = {"Training": (range(12), ("benign", "malignant")), "Test": (range(12, 18), ("0.0", "1.0"))}
    for part, (numbers, labels) in parts.items():
        rows = {f"ISIC_{number:07}": labels[number % 3 == 0] for number in numbers}
        for number, image in zip(numbers, rows, strict=True):
            write_picture(folder / f"ISBI2016_ISIC_Part3_{part}_Data" / f"{image}.jpg", seed=number)
        lines = [f"{image},{(changes or {}).get(image, label)}\n" for image, label in rows.items()]
        (folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv").write_text("".join(lines))
    return folder
