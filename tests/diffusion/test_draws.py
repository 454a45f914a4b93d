import numpy as np
import torch

from lesiongen.diffusion.training.draws import DataOrder, draw

SHAPE = (4, 4, 4)
SETTINGS = {"orientations": 2, "caption_dropout": 0.3}


def test_an_image_draws_the_same_alone_as_in_its_batch():
    together = draw(7, 3, range(8), SHAPE, **SETTINGS)
    alone = draw(7, 3, [5], SHAPE, **SETTINGS)
    assert torch.equal(together.noise[5], alone.noise[0])
    assert torch.equal(together.posterior[5], alone.posterior[0])
    assert together.uniform[5] == alone.uniform[0]
    assert together.orientations[5] == alone.orientations[0]
    assert together.dropped[5] == alone.dropped[0]


def test_drawing_does_not_touch_the_global_random_state():
    before = torch.get_rng_state()
    draw(0, 0, range(4), SHAPE, **SETTINGS)
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_steps_and_places_draw_differently():
    first = draw(0, 0, [0], SHAPE, **SETTINGS).noise
    for seed, step, place in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        assert not torch.equal(first, draw(seed, step, [place], SHAPE, **SETTINGS).noise)


def test_the_draws_have_their_distributions():
    drawn = draw(0, 0, range(4000), SHAPE, **SETTINGS)
    assert abs(float(drawn.noise.mean())) < 0.01
    assert abs(float(drawn.noise.std()) - 1) < 0.01
    assert abs(float((drawn.noise * drawn.posterior).mean())) < 0.01
    assert abs(float(drawn.uniform.mean()) - 0.5) < 0.015
    assert drawn.uniform.min() >= 0
    assert drawn.uniform.max() < 1
    assert abs(drawn.orientations.mean() - 0.5) < 0.03
    assert abs(drawn.dropped.mean() - 0.3) < 0.03


def test_every_epoch_shows_every_image_once_in_another_order():
    order = DataOrder(0, np.ones(10))
    first, second = order.indices(0, 10), order.indices(10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()
    assert order.indices(8, 4).tolist() == [*first[8:], *second[:2]]


def test_weights_show_rare_images_more_often():
    weights = np.array([1.0] * 9 + [9.0])
    counts = np.bincount(DataOrder(0, weights).indices(0, 1000), minlength=10)
    # Ten images an epoch: the rare one five times, each of the others five times in nine epochs.
    assert counts[9] == 500
    assert all(35 <= count <= 77 for count in counts[:9])
