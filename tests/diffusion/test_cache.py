import numpy as np
import pandas as pd
import pytest
import torch

from lesiongen.dataset import Dataset
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.latents.cache import cached
from lesiongen.diffusion.latents.cache_place import CachePlace, NotEncoded
from lesiongen.diffusion.orientations import Orientations, orient
from lesiongen.errors import DataError
from lesiongen.imaging import decode, square, to_array

from .conftest import SIZE, build_dataset

CPU = torch.device("cpu")


def _cache(uri, folder, root, *, split="train", flip=True, rotations=False, rows=None, device=CPU):
    return cached(
        Dataset.open(uri), split, family_of(folder), image_size=SIZE, orientations=Orientations(flip, rotations),
        device=device, place=CachePlace(root), rows=rows,
    )  # fmt: skip


def _pixels(uri, row, split="train"):
    sample = list(Dataset.open(uri).samples(split=split))[row]
    array = to_array(square(decode(sample.image), SIZE))
    return torch.from_numpy(array).permute(2, 0, 1)[None] * 2 - 1


def test_it_holds_what_the_encoders_give(dataset_uri, pipeline_folder, tmp_path):
    cache = _cache(dataset_uri, pipeline_folder, tmp_path)
    assert len(cache) == 10
    assert cache.shape == (4, SIZE // 2, SIZE // 2)
    mean, deviation = family_of(pipeline_folder).image_encoder(CPU)(_pixels(dataset_uri, 3))
    row, plain, noise = np.array([3]), np.array([0]), torch.randn(1, *cache.shape)
    torch.testing.assert_close(cache.latents(row, plain, None), mean, atol=1e-5, rtol=1e-4)
    expected = mean + deviation * noise
    torch.testing.assert_close(cache.latents(row, plain, noise), expected, atol=1e-5, rtol=1e-4)
    told = family_of(pipeline_folder).caption_encoder(CPU)(["nevus, light", ""])["text"]
    torch.testing.assert_close(cache.conditioning(row)["text"], told[:1])
    torch.testing.assert_close(cache.conditioning(row, np.array([True]))["text"], told[1:])


def test_mirroring_happens_in_the_pixels(dataset_uri, pipeline_folder, tmp_path):
    cache = _cache(dataset_uri, pipeline_folder, tmp_path)
    mirrored, _ = family_of(pipeline_folder).image_encoder(CPU)(_pixels(dataset_uri, 0).flip(3))
    found = cache.latents(np.array([0]), np.array([1]), None)
    torch.testing.assert_close(found, mirrored, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, cache.latents(np.array([0]), np.array([0]), None).flip(3), atol=1e-3)


def test_turned_and_mirrored_images_are_eight_different_ones():
    pixels = torch.arange(9.0).view(1, 1, 3, 3)
    seen = {tuple(orient(pixels, turn, flip).flatten().tolist()) for turn, flip in Orientations(True, True).turns()}
    assert len(seen) == len(Orientations(True, True)) == 8


def test_rows_choose_held_out_images(dataset_uri, pipeline_folder, tmp_path):
    cache = _cache(dataset_uri, pipeline_folder, tmp_path, split="validation", flip=False, rows=[1, 3])
    mean, _ = family_of(pipeline_folder).image_encoder(CPU)(_pixels(dataset_uri, 3, "validation"))
    torch.testing.assert_close(cache.latents(np.array([1]), np.array([0]), None), mean, atol=1e-5, rtol=1e-4)


def test_it_is_found_again_by_content(dataset_uri, pipeline_folder, tmp_path, monkeypatch):
    _cache(dataset_uri, pipeline_folder, tmp_path)
    entries = set(tmp_path.iterdir())
    monkeypatch.setattr(Dataset, "samples", lambda *a, **k: pytest.fail("encoded again"))
    _cache(dataset_uri, pipeline_folder, tmp_path)
    assert set(tmp_path.iterdir()) == entries


def test_it_is_only_looked_for_where_no_encoder_may_run(dataset_uri, pipeline_folder, tmp_path):
    with pytest.raises(NotEncoded):
        _cache(dataset_uri, pipeline_folder, tmp_path, device=None)
    assert list(tmp_path.iterdir()) == []
    _cache(dataset_uri, pipeline_folder, tmp_path)
    assert len(_cache(dataset_uri, pipeline_folder, tmp_path, device=None)) == 10


def test_weights_balance_the_diagnoses(dataset_uri, pipeline_folder, tmp_path):
    cache = _cache(dataset_uri, pipeline_folder, tmp_path)
    assert np.ptp(cache.weights(0.0)) == 0
    diagnoses = Dataset.open(dataset_uri).metadata(columns=["diagnosis"], split="train")["diagnosis"]
    totals = pd.Series(cache.weights(1.0)).groupby(diagnoses).sum()
    assert totals["nv"] == pytest.approx(totals["df"])


def test_weights_balance_the_diagnoses_in_their_subgroups(pipeline_folder, tmp_path):
    uri = build_dataset(tmp_path / "set", {"train": 20}, tones=("light", "light", "dark", None))
    cache = _cache(uri, pipeline_folder, tmp_path / "cache")
    table = Dataset.open(uri).metadata(columns=["diagnosis", "measured_tone"], split="train").fillna("unknown")
    cells = [table["diagnosis"], table["measured_tone"]]
    totals = pd.Series(cache.weights(1.0, ["measured_tone"])).groupby(cells).sum()
    assert len(totals) > 5
    assert np.ptp(totals) == pytest.approx(0.0)
    half = pd.Series(cache.weights(0.5, ["measured_tone"])).groupby(cells).sum()
    np.testing.assert_allclose(half, table.groupby(["diagnosis", "measured_tone"]).size() ** 0.5)


def test_images_without_a_caption_are_named(pipeline_folder, tmp_path):
    uri = build_dataset(tmp_path / "set", {"train": 3}, caption=None)
    with pytest.raises(DataError, match=r"3 of 3 train images have no caption: train-0, train-1, train-2"):
        _cache(uri, pipeline_folder, tmp_path / "cache")
    with pytest.raises(DataError, match="no rows in its split 'validation'"):
        _cache(uri, pipeline_folder, tmp_path / "cache", split="validation")
