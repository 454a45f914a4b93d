"""Folds: every image is tested on once, and nothing that belongs together is parted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesiongen.crossfit import CrossfitConfig, take_fold
from lesiongen.crossfit.folds import _trained_on, assign_folds
from lesiongen.dataset import Dataset, DatasetWriter, Sample, groups
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import encode_png

CONFIG = CrossfitConfig(folds=3, validation_share=0.2)
SYNTHETIC = '{"image_manipulation": "synthetic"}'


def table_of(lesions: int, *, seed: int = 0) -> pd.DataFrame:
    """Lesions of four diagnoses of very different counts, with one to three images each; some patients have two."""
    rng = np.random.default_rng(seed)
    rows = []
    for lesion in range(lesions):
        diagnosis = rng.choice(["nv", "mel", "bcc", "df"], p=[0.6, 0.2, 0.15, 0.05])
        patient = f"p{lesion // 10}" if lesion % 5 == 0 else None
        for image in range(rng.integers(1, 4)):
            rows.append((f"i{lesion}-{image}", diagnosis, f"l{lesion}", patient))
    return pd.DataFrame(rows, columns=["image_id", "diagnosis", "lesion_id", "patient_id"])


def test_groups_stay_whole_and_each_fold_has_its_share_of_each_diagnosis() -> None:
    table = table_of(600)
    bound = groups(table)
    folds = assign_folds(table, bound, 5, seed=3)
    assert set(folds) == {1, 2, 3, 4, 5}
    assert table["patient_id"].dropna().nunique() < table.dropna()["lesion_id"].nunique()
    for column in ("lesion_id", "patient_id"):
        assert pd.Series(folds).groupby(table[column]).nunique().max() == 1
    shares = pd.crosstab(table["diagnosis"], folds, normalize="index")
    assert shares.loc[["nv", "mel", "bcc"]].sub(0.2).abs().to_numpy().max() < 0.04
    assert shares.loc["df"].min() > 0.05


def test_the_folds_do_not_depend_on_the_order_of_the_rows_but_on_the_seed() -> None:
    table = table_of(80)
    folds = dict(zip(table["image_id"], assign_folds(table, groups(table), 4, seed=0), strict=True))
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    again = dict(zip(shuffled["image_id"], assign_folds(shuffled, groups(shuffled), 4, seed=0), strict=True))
    other = dict(zip(table["image_id"], assign_folds(table, groups(table), 4, seed=1), strict=True))
    assert again == folds != other


def test_a_diagnosis_of_one_lesion_is_trained_on_wherever_it_is_not_tested_on() -> None:
    bound = np.array([0, 0, 1, 2, 3, 3])
    diagnoses = np.array(["nv", "nv", "nv", "mel", "df", "df"], dtype=object)
    splits = np.array(["train", "train", "validation", "train", "validation", "validation"], dtype=object)
    assert _trained_on(splits, diagnoses, bound).tolist() == ["train", "train", "validation", "train", "train", "train"]


def test_fewer_groups_than_folds_are_refused() -> None:
    table = pd.DataFrame({"image_id": list("abcd"), "diagnosis": "nv", "lesion_id": list("1122")})
    with pytest.raises(DataError, match="2 groups of images that belong together, fewer than the 3 folds"):
        assign_folds(table, groups(table), 3, seed=0)
    with pytest.raises(DataError, match="No diagnosis has more than 4 images, fewer than the 5 folds"):
        assign_folds(table, np.arange(4), 5, seed=0)


def picture(seed: int, side: int = 32) -> bytes:
    return encode_png(Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)))


def publish(path, samples) -> str:
    with DatasetWriter(str(path), name="noise", licence="CC0-1.0") as writer:
        for sample in samples:
            writer.add(sample)
    return str(path)


@pytest.fixture
def dataset(tmp_path) -> str:
    """30 lesions of two images each; the image of lesion 0 is also that of lesion 1."""
    samples = []
    for lesion in range(30):
        for image in range(2):
            seed = 1000 if (lesion, image) in {(0, 0), (1, 0)} else 2 * lesion + image
            columns = {"lesion_id": f"l{lesion}", "diagnosis": ("nv", "mel")[lesion % 2]}
            split = ("train", "test")[lesion % 2]
            samples.append(Sample(image=picture(seed), image_id=f"i{lesion}-{image}", split=split, **columns))
    return publish(tmp_path / "dataset", samples)


def test_every_image_is_tested_on_once_and_by_models_of_other_lesions(dataset, tmp_path) -> None:
    tested = []
    for fold in (1, 2, 3):
        taken = Dataset.open(take_fold(CONFIG, dataset, str(tmp_path / f"fold{fold}"), fold=fold).uri)
        assert taken.manifest.name == f"noise-fold{fold}"
        assert taken.manifest.licence == "CC0-1.0"
        table = taken.metadata(["image_id", "lesion_id", "split"]).set_index("image_id")
        assert len(table) == 60
        assert table.groupby("lesion_id")["split"].nunique().max() == 1
        assert table.loc["i0-0", "split"] == table.loc["i1-0", "split"]  # they show one photograph
        # 19 or 20 groups of two images (and one of four) are left, of which a fifth is asked for.
        assert 8 <= (table["split"] == "validation").sum() <= 12
        assert set(taken.metadata(["diagnosis"], "validation")["diagnosis"]) == {"nv", "mel"}
        tested += table.index[table["split"] == "test"].tolist()
    assert sorted(tested) == sorted(Dataset.open(dataset).metadata(["image_id"])["image_id"])


def test_a_fold_that_there_is_not_and_synthetic_images_are_refused(dataset, tmp_path) -> None:
    with pytest.raises(UsageError, match="fold = 4: must be from 1 to 3"):
        take_fold(CONFIG, dataset, str(tmp_path / "fold"), fold=4)
    made = Sample(image=picture(1), image_id="made", diagnosis="nv", split="train", provenance=SYNTHETIC)
    passed = replace(made, image_id="passed", provenance='{"image_manipulation": "reconstruction"}')
    for generated in (made, passed):
        other = publish(tmp_path / generated.image_id, [generated])
        with pytest.raises(DataError, match="contains synthetic images or reconstructions"):
            take_fold(CONFIG, other, str(tmp_path / "fold"), fold=1)


def test_a_worst_group_that_no_image_is_of_is_refused_before_anything_is_made(dataset, tmp_path) -> None:
    config = CONFIG.changed(worst_group="sex=femal")
    with pytest.raises(DataError, match="worst_group = 'sex=femal': this group has no images"):
        take_fold(config, dataset, str(tmp_path / "fold"), fold=1)
    assert not (tmp_path / "fold").exists()
    # The tone is measured by the captions, which come later.
    take_fold(CONFIG.changed(worst_group="measured_tone=dark"), dataset, str(tmp_path / "fold"), fold=1)
