import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lesiongen.evaluation.measures.agreement import class_agreement
from lesiongen.evaluation.measures.fidelity import compare_features, fidelity, manifold_scores
from lesiongen.evaluation.measures.memorisation import find_copies
from lesiongen.evaluation.neighbours import nearest_training_images
from lesiongen.records.image_measures import Agreement, ClassDistance


def draw(n: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 8)) + shift).astype(np.float32)


def test_one_distribution_is_near_itself_and_far_from_another() -> None:
    same, far = compare_features(draw(400), draw(300, seed=1), 0), compare_features(draw(400), draw(300, 2.0, 1), 0)
    assert abs(same.kid) < 0.05 < far.kid
    assert same.frechet_distance < 0.5
    assert far.frechet_distance == pytest.approx(8 * 2.0**2, rel=0.1)
    assert same.density == pytest.approx(1, abs=0.2)
    assert same.coverage > 0.85 > 0.3 > far.coverage
    assert (same.n_real, same.n_fake) == (400, 300)
    assert compare_features(draw(400), draw(300, seed=1), 0) == same


def test_manifold_scores_on_points_that_can_be_counted_by_hand() -> None:
    real = np.array([[0.0], [1.0], [2.0], [10.0]], dtype=np.float32)
    other = np.array([[0.5], [1.5], [30.0]], dtype=np.float32)
    # With k = 1 the balls of the real points have radii 1, 1, 1, 8, those of the others 1, 1, 28.5.
    scores = manifold_scores(real, other, neighbours=1)
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["density"] == pytest.approx((2 + 2) / 3)
    assert scores["coverage"] == pytest.approx(3 / 4)
    assert scores["recall"] == 1.0


def test_too_few_images_give_no_distance() -> None:
    labels = np.zeros(50, dtype=np.int64), np.zeros(4, dtype=np.int64)
    found = fidelity(draw(50), draw(4), draw(30), labels, ("mel",), extractor="none", seed=0)
    assert found.synthetic.kid is None
    assert found.held_out_real.kid is not None
    assert found.per_class["mel"] == ClassDistance(n_real=50, n_synthetic=4)


def blobs(n: int, seed: int) -> np.ndarray:
    """Smooth coloured patterns, each with a dark blob in the middle, as lesions have."""
    noise = np.random.default_rng(seed).normal(size=(n, 32, 32, 3))
    y, x = np.mgrid[:32, :32] - 15.5
    blob = np.exp(-(y**2 + x**2) / 60)[None, :, :, None]
    return np.clip(190 - 90 * blob + 220 * gaussian_filter(noise, (0, 3, 3, 0)), 0, 255).astype(np.uint8)


def test_turned_and_brightened_copies_are_found_and_strangers_are_not() -> None:
    train, held_out = blobs(300, 0), blobs(200, 1)
    copies = np.clip(np.rot90(train[:30, :, ::-1], axes=(1, 2)) * 1.1 + 5, 0, 255).astype(np.uint8)
    strangers = gaussian_filter(blobs(170, 2), (0, 1, 1, 0))
    synthetic, reference = nearest_training_images(train, np.concatenate([copies, strangers]), held_out)
    ids = [f"made{k}" for k in range(200)], [f"real{k}" for k in range(300)]
    found, pairs = find_copies(synthetic, reference, ids, 99.0)
    assert (len(pairs), sum(pair.above for pair in pairs)) == (200, found.n_above)
    assert synthetic.rows[:30].tolist() == list(range(30))
    assert (synthetic.similarity[:30] > found.threshold).all()
    assert (synthetic.similarity[30:] > found.threshold).mean() < 0.05
    assert found.share_above == pytest.approx(0.15, abs=0.04)
    assert (found.n_synthetic, found.n_held_out, found.calibrated) == (200, 200, True)
    best = found.nearest_pairs[0]
    assert best.synthetic.removeprefix("made") == best.train.removeprefix("real")


def test_agreement_counts_what_was_asked_for() -> None:
    asked = np.array([0, 0, 1, 1])
    chances = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0], [0.3, 0.7, 0]], dtype=np.float32)
    found = class_agreement(asked, chances, ("bcc", "mel", "nv"), "the classifier")
    assert found.agreement == 0.75
    assert found.per_class["bcc"] == Agreement(n=2, agreement=0.5)
    assert found.per_class["nv"] == Agreement(n=0)
