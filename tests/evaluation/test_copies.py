"""The search for near copies: what copies are made, what finds them, and with which intervals."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta

from lesiongen.evaluation.copies.descriptors import LesionSearch, WindowSearch
from lesiongen.evaluation.copies.planted import KINDS, planted
from lesiongen.evaluation.copies.search import ANY, DESCRIPTORS, Similarities, searched, summarised
from lesiongen.evaluation.copies.shares import above_chance, copy_share, joint_thresholds
from lesiongen.evaluation.neighbours import nearest_training_images

SIZE = 48


def lesion(seed):
    """A lesion of three blots, in a place and colours of its own, on skin that grows darker to one side."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    image = np.full((SIZE, SIZE, 3), rng.uniform((200, 160, 140), (235, 190, 170)))
    centre = rng.uniform(0.42, 0.58, 2)
    for _ in range(3):
        middle, radii = centre + rng.uniform(-0.1, 0.1, 2), rng.uniform(0.08, 0.2, 2)
        inside = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 < 1
        image[inside] = rng.uniform((60, 30, 20), (150, 100, 90))
    return np.clip(image - 25 * y[..., None] + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return np.stack([lesion(seed) for seed in range(160)])


@pytest.fixture(scope="module")
def found(images):
    train, held_out = images[:100], images[100:]
    [known] = nearest_training_images(train, held_out)
    return searched(train, held_out, held_out, (known, known), n_calibration=40, n_planted=12, seed=0)


def test_copies_are_of_the_images_and_the_same_for_a_seed(images):
    some = images[:6]
    assert np.array_equal(planted("exact", some, 0), some)
    for kind in KINDS:
        copies = planted(kind, some, 3)
        assert copies.shape == some.shape
        assert copies.dtype == np.uint8
        assert np.array_equal(copies, planted(kind, some, 3))
        assert kind == "exact" or all((copies != some).any(axis=(1, 2, 3)))


def test_a_turned_copy_is_one_of_seven(images):
    for one, copy in zip(images[:6], planted("turned", images[:6], 1), strict=True):
        views = [np.rot90(side, turn) for side in (one, one[:, ::-1]) for turn in range(4)]
        assert [np.array_equal(view, copy) for view in views[1:]].count(True) == 1


def test_the_search_finds_most_copies_of_each_kind(found):
    planted_shares = summarised(found, 95.0, 0.95).planted
    assert list(planted_shares) == list(KINDS)
    for kind in ("exact", "turned", "recoloured", "re-encoded"):
        assert planted_shares[kind][ANY].share == 1.0
    assert planted_shares["cropped"]["window"].n_above > planted_shares["cropped"]["thumbnail"].n_above
    assert planted_shares["pasted lesion"]["lesion"].n_above > planted_shares["pasted lesion"]["thumbnail"].n_above


def test_a_lesion_is_the_same_wherever_it_lies_and_a_crop_that_of_its_image(images):
    train = images[:60]
    moved = np.roll(train[:8], (4, -4), axis=(1, 2))
    assert (LesionSearch(train)(moved).rows == np.arange(8)).mean() >= 0.75
    box = (0, 0, 0.85 * SIZE, 0.85 * SIZE)
    crops = np.stack([np.asarray(Image.fromarray(image).resize((SIZE, SIZE), box=box)) for image in train[:8]])
    assert WindowSearch(train)(crops).rows.tolist() == list(range(8))


def test_the_thresholds_are_those_of_held_out_images_alone(found):
    other = Similarities(
        found.synthetic * 0 + 1,
        found.calibration,
        found.held_out,
        {kind: rows * 0 for kind, rows in found.planted.items()},
    )
    one, two = summarised(found, 95.0, 0.95), summarised(other, 95.0, 0.95)
    assert one.joint_thresholds == two.joint_thresholds
    assert one.held_out == two.held_out
    assert one.n_calibration == 40
    assert two.synthetic.share == 1.0
    assert two.above_chance == 1 - two.held_out.share
    assert (one.held_out.n, found.calibration.shape[1]) == (20, 40)
    for name, row in zip(DESCRIPTORS, found.calibration, strict=True):
        assert one.descriptors[name].threshold == pytest.approx(np.percentile(row, 95))


def test_together_the_descriptors_let_through_as_few_held_out_images_as_one():
    held_out = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    thresholds = joint_thresholds(held_out, 99.0)
    above = held_out > thresholds[:, None]
    assert above.any(axis=0).sum() <= 5
    assert len(set(above.sum(axis=1))) == 1  # the same rank of each
    lower = np.sort(held_out, axis=1)[:, ::-1][:, above[0].sum() + 1]
    assert (held_out > lower[:, None]).any(axis=0).sum() > 5  # and none lower would do
    alone = held_out[:1]
    assert (alone > joint_thresholds(alone, 99.0)[:, None]).sum() == 5
    assert joint_thresholds(alone[:, :40], 99.0)[0] == alone[:, :40].max()


def test_intervals_are_clopper_pearsons_and_newcombes():
    found = copy_share(6, 650, 0.95)
    assert found.low == pytest.approx(beta.ppf(0.025, 6, 645))
    assert found.high == pytest.approx(beta.ppf(0.975, 7, 644))
    assert copy_share(0, 0, 0.95).share is None
    # Newcombe (1998), table II, contrasts b and e, method 10.
    for (above, n), (other, m), expected in (
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ):
        assert above_chance(copy_share(above, n, 0.95), copy_share(other, m, 0.95), 0.95)[1:] == pytest.approx(
            expected, abs=6e-5
        )
