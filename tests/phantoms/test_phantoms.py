"""Phantoms: the same seed, the same image; believable tables; classes that overlap but can be told apart."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from skimage.color import rgb2lab
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score

from lesiongen.errors import UsageError
from lesiongen.evaluation.classifier.mixtures import Mixture
from lesiongen.evaluation.classifier.training import Budget, train_classifier
from lesiongen.evaluation.images import LabelledImages
from lesiongen.phantoms import PhantomConfig, draw_concepts, render, write_phantoms
from lesiongen.phantoms.profiles import PROFILES
from lesiongen.phantoms.shape import lesion_frame


def test_an_image_depends_on_seed_and_index_alone():
    small = PhantomConfig(n=5, seed=3, size=64)
    large = PhantomConfig(n=500, seed=3, size=64)
    for index in (0, 4):
        assert draw_concepts(small, index) == draw_concepts(large, index)
    first = render(draw_concepts(small, 4), 64)
    assert first.tobytes() == render(draw_concepts(large, 4), 64).tobytes()
    assert first.tobytes() != render(draw_concepts(PhantomConfig(seed=4), 4), 64).tobytes()


def test_the_size_changes_the_sharpness_not_the_picture():
    concepts = draw_concepts(PhantomConfig(seed=0), 0)
    small = np.asarray(render(concepts, 32), dtype=np.float64)
    large = np.asarray(render(concepts, 64).reduce(2), dtype=np.float64)
    assert small.shape == (32, 32, 3)
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("diagnosis", list(PROFILES))
def test_the_outline_encloses_the_drawn_area(diagnosis):
    config = PhantomConfig(seed=1, class_weights={diagnosis: 1.0})
    for index in range(6):
        concepts = draw_concepts(config, index)
        assert concepts.diagnosis == diagnosis
        inside = (lesion_frame(concepts, 256).depth > 0).mean()
        assert inside == pytest.approx(concepts.area_share, rel=0.04)


def test_darker_types_have_darker_skin():
    lightness = []
    for tone in range(6):
        weights = tuple(float(rank == tone) for rank in range(6))
        config = PhantomConfig(seed=2, tone_weights=weights)
        views = [draw_concepts(config, index) for index in range(12)]
        assert {view.skin_tone for view in views} == {tone + 1}
        edges = [np.asarray(render(view, 64))[24:40, :4] for view in views if not view.vignette]
        lightness.append(np.median([rgb2lab(edge / 255.0)[..., 0].mean() for edge in edges]))
    assert lightness == sorted(lightness, reverse=True)
    assert lightness[0] - lightness[-1] > 20


def test_repeated_photographs_share_lesion_and_patient_but_not_pixels():
    config = PhantomConfig(n=300, seed=5, duplicate_share=0.0)
    drawn = [draw_concepts(config, index) for index in range(300)]
    lesions = Counter(concepts.lesion_id for concepts in drawn)
    assert 300 / len(lesions) == pytest.approx(1.34, abs=0.12)
    by_lesion: dict[str, list] = {}
    for concepts in drawn:
        by_lesion.setdefault(concepts.lesion_id, []).append(concepts)
    repeats = [group for group in by_lesion.values() if len(group) > 1]
    for group in repeats:
        assert len({(c.patient_id, c.diagnosis, c.colours, c.skin_tone, c.age) for c in group}) == 1
        assert len({c.view_seed for c in group}) == len(group)
    assert len({concepts.patient_id for concepts in drawn}) < len(lesions)


def test_classes_and_tones_are_unbalanced_by_default():
    drawn = [draw_concepts(PhantomConfig(seed=6), index) for index in range(800)]
    classes = Counter(concepts.diagnosis for concepts in drawn)
    tones = Counter(concepts.skin_tone for concepts in drawn)
    assert set(classes) == set(PROFILES)
    assert classes["nv"] > 3 * classes["df"]
    assert tones[2] > 3 * tones[6] > 0


def test_writes_an_image_folder_with_its_truth(tmp_path):
    config = PhantomConfig(n=40, seed=7, size=32, duplicate_share=0.2)
    written = write_phantoms(config, tmp_path / "phantoms")
    table = (tmp_path / "phantoms" / "metadata.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    truth = [json.loads(line) for line in (tmp_path / "phantoms" / "concepts.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == [entry["image_id"] for entry in truth]
    assert sum(written.classes.values()) == len(rows) == 40
    assert all((tmp_path / "phantoms" / row["file_name"]).is_file() for row in rows)
    files = [(tmp_path / "phantoms" / row["file_name"]).read_bytes() for row in rows]
    copies = 40 - len(set(files))
    assert 1 <= copies <= 20
    copied = {data for data, count in Counter(files).items() if count > 1}
    for data in copied:
        twins = [row for row, own in zip(rows, files, strict=True) if own == data]
        assert len({row["lesion_id"] for row in twins}) > 1, "a copy hides under another lesion's name"
        assert len({row["diagnosis"] for row in twins}) == 1


def test_an_empty_working_folder_is_filled_and_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    assert write_phantoms(PhantomConfig(n=1, size=32), ".").folder == tmp_path
    assert (tmp_path.stat().st_ino, Path("metadata.csv").is_file()) == (before, True)


def test_the_folder_of_a_file_address_is_named_as_a_path(tmp_path):
    folder = tmp_path / "phantoms"
    assert write_phantoms(PhantomConfig(n=1, size=32), f"file://{folder}").folder == folder
    assert (folder / "metadata.csv").is_file()


def test_refuses_a_folder_that_holds_files(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_phantoms(PhantomConfig(n=1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("class_weights", {"mole": 1.0}, "unknown diagnosis 'mole'"),
        ("class_weights", {"nv": 0.0}, "more than zero"),
        ("tone_weights", (1, -1, 0, 0, 0, 0), "must not be negative"),
        ("n", 0, "greater than or equal to 1"),
    ],
)
def test_refuses_wrong_values(field, value, message):
    with pytest.raises(ValidationError, match=message):
        PhantomConfig(**{field: value})


def _features(image):
    """Colour in rings about the centre and its spread: what a simple classifier can go by."""
    lab = rgb2lab(np.asarray(image) / 255.0)
    side = lab.shape[0]
    ticks = (np.arange(side) + 0.5) * 2 / side - 1
    rings = np.digitize(np.hypot(ticks[:, None], ticks[None, :]), [0.2, 0.35, 0.5, 0.7])
    numbers = [np.r_[lab[rings == ring].mean(axis=0), lab[rings == ring].std(axis=0)] for ring in range(4)]
    darkest = np.percentile(lab[rings < 4].reshape(-1, 3), [3, 20, 50, 80, 97], axis=0).ravel()
    edges = [
        np.abs(np.diff(lab[..., plane], axis=axis))[rings[:-1, :-1].shape[0] // 4 :].mean()
        for plane in range(3)
        for axis in (0, 1)
    ]
    return np.r_[*numbers, darkest, edges]


def _truth(concepts):
    """The drawn concepts as numbers: more than any picture can tell."""
    shares = dict(zip(concepts.colours, concepts.colour_shares, strict=True))
    colours = [shares.get(name, 0.0) for name in ("white", "red", "light brown", "dark brown", "blue-gray", "black")]
    shape = [concepts.area_share, concepts.asymmetry, concepts.border_irregularity, concepts.softness]
    kinds = (concepts.network, concepts.globules, concepts.streaks, concepts.vessels)
    words = ("typical", "atypical", "regular", "irregular", "arborizing", "dotted", "lacunae")
    structures = [float(kind == word) for kind in kinds for word in words]
    signs = (concepts.blue_white_veil, concepts.scale, concepts.milia_like_cysts, concepts.central_white_patch)
    return [*colours, *shape, *structures, *map(float, signs)]


def _balanced_accuracy(features, drawn, trained):
    labels = np.array([concepts.diagnosis for concepts in drawn])
    lesions = np.array([concepts.lesion_id for concepts in drawn])
    train = np.arange(len(drawn)) < trained
    test = ~train & ~np.isin(lesions, lesions[train])
    model = ExtraTreesClassifier(150, class_weight="balanced", random_state=0)
    model.fit(np.array(features)[train], labels[train])
    return balanced_accuracy_score(labels[test], model.predict(np.array(features)[test]))


def test_the_classes_overlap_even_for_who_knows_every_concept():
    config = PhantomConfig(seed=8, duplicate_share=0.0)
    drawn = [draw_concepts(config, index) for index in range(2200)]
    assert 0.75 < _balanced_accuracy([_truth(concepts) for concepts in drawn], drawn, 1500) < 0.97


def test_the_classes_can_be_told_apart_by_mere_colour():
    # Far above one in seven.
    config = PhantomConfig(seed=8, size=32, duplicate_share=0.0, class_weights=dict.fromkeys(PROFILES, 1.0))
    drawn = [draw_concepts(config, index) for index in range(800)]
    assert 0.5 < _balanced_accuracy([_features(render(c, 32)) for c in drawn], drawn, 550) < 0.97


def _labelled(seed, count):
    config = PhantomConfig(seed=seed, size=40, duplicate_share=0.0, class_weights=dict.fromkeys(PROFILES, 1.0))
    drawn = [draw_concepts(config, index) for index in range(count)]
    images = np.stack([np.asarray(render(concepts, 40)) for concepts in drawn])
    labels = np.array([list(PROFILES).index(concepts.diagnosis) for concepts in drawn])
    return LabelledImages(images, labels, pd.DataFrame({"image_id": range(count)}))


def test_a_small_network_learns_the_classes_from_pixels_but_not_all_at_once():
    # Measured: 0.64 here; another small network reaches 0.81 with 600 steps of 64 images of 64 pixels.
    train, fresh = _labelled(8, 1500), _labelled(9, 350)
    budget = Budget(steps=300, batch_size=32, learning_rate=3e-3, weight_decay=0.05, checks=1)
    unused = train.take(np.arange(8))  # one check, at the end: nothing is picked
    model = train_classifier(Mixture(train), unused, tuple(PROFILES), budget, 0).model
    score = balanced_accuracy_score(fresh.labels, model.probabilities(fresh.images).argmax(axis=1))
    assert 0.55 <= score <= 0.97
