"""Measured concepts against phantoms whose concepts are known, and against the pictures' own limits."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.stats import spearmanr
from skimage.color import rgb2lab

from lesiongen.concepts import measure, measured_report
from lesiongen.concepts.artefacts import foreign, without_lines
from lesiongen.concepts.border import irregularity, trace_border
from lesiongen.concepts.colour import colour_shares, skin_ita, skin_tone, tone_of
from lesiongen.concepts.lab import to_lab
from lesiongen.concepts.outline import elongation, fold_asymmetry
from lesiongen.concepts.regions import bounding_box, median_colour, notches_closed, without_holes
from lesiongen.concepts.segmentation import segment
from lesiongen.concepts.texture import texture
from lesiongen.concepts.vocabulary import TONES
from lesiongen.phantoms import PhantomConfig, disturb, draw_concepts, draw_disturbance, render
from lesiongen.phantoms.shape import lesion_frame

SIDE, COUNT, SEED = 256, 90, 20241
EVEN_TONES = (2.0, 2.0, 2.0, 1.5, 1.2, 1.0)
SKIN, PIGMENT = (214, 170, 146), (112, 74, 52)


def _drawn():
    config = PhantomConfig(seed=SEED, images_per_lesion=1.0, duplicate_share=0.0, tone_weights=EVEN_TONES)
    return [draw_concepts(config, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def clean():
    return [(concepts, measure(render(concepts, SIDE))) for concepts in _drawn()]


@pytest.fixture(scope="module")
def disturbed():
    """The same lesions under slanting and coloured light, blur, noise and many hairs."""
    return [
        (concepts, measure(disturb(render(concepts, SIDE), draw_disturbance(SEED, index))))
        for index, concepts in enumerate(_drawn())
    ]


@pytest.fixture(scope="module", params=["clean", "disturbed"])
def phantoms(request):
    return request.getfixturevalue(request.param)


def _rank_correlation(pairs):
    known, measured = zip(*pairs, strict=True)
    return spearmanr(known, measured).statistic


def test_finds_nearly_every_lesion_on_every_tone(phantoms):
    for tone in range(1, 7):
        found = [m.area_share is not None for concepts, m in phantoms if concepts.skin_tone == tone]
        assert np.mean(found) >= 0.85, f"Fitzpatrick {tone}"


def test_the_outline_lies_on_the_lesion(phantoms):
    overlaps = []
    for concepts, measurement in phantoms:
        truth = lesion_frame(concepts, len(measurement.lesion)).depth > 0
        overlaps.append((measurement.lesion & truth).sum() / (measurement.lesion | truth).sum())
    assert np.median(overlaps) > 0.88
    assert np.quantile(overlaps, 0.1) > 0.7


def test_area_asymmetry_and_border_follow_the_truth(phantoms):
    # benchmarks/agreement.py measures the same on more phantoms; these bounds lie below its intervals.
    outlined = [(c, m) for c, m in phantoms if m.irregularity is not None]
    assert len(outlined) >= 0.95 * len(phantoms)
    assert _rank_correlation([(c.area_share, m.area_share) for c, m in outlined]) > 0.9
    assert _rank_correlation([(c.asymmetry, m.asymmetry[0]) for c, m in outlined]) > 0.75
    assert _rank_correlation([(c.softness, m.border_width) for c, m in outlined]) > 0.8
    assert _rank_correlation([(c.border_irregularity, m.irregularity) for c, m in outlined]) > 0.7


def test_colours_follow_the_truth(phantoms):
    found = [(set(c.colours), set(m.colours)) for c, m in phantoms if m.colours]
    for colour in ("red", "dark brown", "blue-gray", "black", "light brown", "white"):
        agreement = np.mean([(colour in truth) == (colour in measured) for truth, measured in found])
        assert agreement >= 0.8, colour
    assert np.mean([len(truth) == len(measured) for truth, measured in found]) > 0.74


def test_the_tone_of_the_skin_follows_the_truth(phantoms):
    toned = [(concepts, m) for concepts, m in phantoms if m.tone is not None]
    assert len(toned) >= 0.95 * len(phantoms)
    assert _rank_correlation([(c.ita, m.ita) for c, m in toned]) > 0.95
    assert np.mean([m.tone == TONES[c.skin_tone - 1] for c, m in toned]) >= 0.72
    named = [TONES[c.skin_tone - 1] in m.skin_tone.chances for c, m in toned]
    assert np.mean(named) >= 0.93, "the truth is among the classes that the uncertainty allows"


def test_the_tone_states_its_uncertainty():
    rng = np.random.default_rng(3)
    lab = np.array([68.0, 10.0, 15.0]) + rng.normal(0, 1, (96, 96, 3))
    even = skin_tone(lab, np.ones((96, 96), dtype=bool))
    assert even.ita == pytest.approx(50.2, abs=0.5)
    assert even.name == "light"
    assert set(even.chances) <= {"light", "very light"}
    lab[..., 0] += np.linspace(-12, 12, 96)
    slanted = skin_tone(lab, np.ones((96, 96), dtype=bool))
    assert slanted.uncertainty > even.uncertainty
    assert sum(slanted.chances.values()) == pytest.approx(1.0, abs=0.1)


def test_the_report_says_how_sure_the_tone_is(clean):
    concepts, measurement = clean[0]
    entry = measured_report(measurement).skin_tone
    assert entry.source == "measured"
    assert entry.value == (measurement.tone,)
    assert entry.confidence == pytest.approx(measurement.skin_tone.chances[measurement.tone], abs=1e-3)
    assert {"ita", "uncertainty", measurement.tone} <= set(entry.evidence)


def test_a_notch_belongs_to_the_lesion_and_the_skin_beside_it_does_not():
    disc = _disc()
    notched = disc & ~(np.abs(np.mgrid[:100, :100][0] - 50) < 3) | _disc(radius=15)
    assert notches_closed(notched, 0.3).sum() > 0.98 * disc.sum()
    assert not (notches_closed(notched, 0.3) & ~_disc(radius=29)).any()
    assert (notches_closed(_disc(radius=2), 0.3) == _disc(radius=2)).all(), "a disc of less than a pixel closes nothing"


def test_a_region_keeps_its_place_its_holes_filled():
    ring = _disc() & ~_disc(radius=10)
    assert (without_holes(ring) == _disc()).all()
    assert bounding_box(ring) == (slice(22, 78), slice(22, 78))
    assert bounding_box(ring, 30) == (slice(0, 108), slice(0, 108)), "a window may reach beyond the picture's end"
    assert ring[bounding_box(np.zeros_like(ring))].size == 0


def test_colours_are_those_of_scikit_image():
    pixels = np.random.default_rng(6).integers(0, 256, (40, 40, 3)).astype(np.float32) / np.float32(255)
    assert np.abs(to_lab(pixels) - rgb2lab(pixels)).max() < 0.02


@pytest.mark.parametrize("count", [7, 8])
def test_the_median_colour_is_one_of_those_in_the_middle(count):
    pixels = np.random.default_rng(7).normal(size=(count, 3)).astype(np.float32)
    assert (median_colour(pixels) == np.sort(pixels, axis=0)[count // 2]).all()


def test_says_nothing_of_what_is_not_there():
    rng = np.random.default_rng(0)
    skin = np.clip(np.array(SKIN) + rng.normal(0, 3, (96, 96, 1)), 0, 255).astype(np.uint8)
    bare = measure(Image.fromarray(skin))
    assert bare.area_share is None
    assert bare.colours == {}
    assert bare.tone == "light"
    assert set(bare.not_measurable) == {"lesion", "texture"}
    report = measured_report(bare)
    assert [name for name, _ in report.entries()] == ["skin_tone"]


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 60, 200), (128, 128, 128)])
def test_a_picture_without_skin_has_no_tone(colour):
    measurement = measure(Image.new("RGB", (80, 60), colour))
    assert measurement.tone is None
    assert measurement.area_share is None
    assert not list(measured_report(measurement).entries())


def test_a_lesion_cut_off_by_the_frame_has_no_outline():
    rng = np.random.default_rng(1)
    pixels = np.array(SKIN) + rng.normal(0, 3, (96, 96, 1))
    pixels[:, 36:] = np.array(PIGMENT) + rng.normal(0, 3, (96, 60, 1))
    measurement = measure(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    assert measurement.asymmetry is None
    assert "outline" in measurement.not_measurable or "lesion" in measurement.not_measurable


def _close_up(side=128):
    """A round brown lesion in the middle of plain skin, and its mask."""
    rng = np.random.default_rng(5)
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    truth = np.hypot(down, across) < 0.22 * side
    pixels = np.where(truth[..., None], PIGMENT, SKIN) + rng.normal(0, 2, (side, side, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), truth


def _hair(pen):
    for shift in range(-40, 141, 30):
        pen.line([(shift, 0), (shift + 50, 128)], fill=(45, 35, 30), width=2)


def _light_hair(pen):
    for shift in range(-40, 141, 30):
        pen.line([(shift, 0), (shift + 50, 128)], fill=(246, 236, 214), width=2)


def _ruler(pen):
    for place in range(6, 124, 8):
        pen.line([(place, 112), (place, 127)], fill=(25, 25, 25), width=1)


def _ink(pen):
    pen.line([(10, 20), (30, 12), (24, 40), (44, 30)], fill=(90, 60, 160), width=4)


def _sticker(pen):
    pen.ellipse([92, 20, 160, 110], fill=(20, 190, 250))


def _rim(pen):
    for reach in range(72, 120):
        pen.ellipse([64 - reach, 64 - reach, 64 + reach, 64 + reach], outline=(6, 6, 6), width=2)


@pytest.mark.parametrize("over", [_hair, _light_hair, _ruler, _ink, _sticker, _rim], ids=lambda over: over.__name__)
def test_what_lies_over_the_skin_is_no_lesion(over):
    image, truth = _close_up()
    over(ImageDraw.Draw(image))
    found = segment(image)
    assert (found.lesion & truth).sum() / (found.lesion | truth).sum() > 0.85


def test_falling_light_is_no_lesion():
    image, truth = _close_up()
    down, across = np.mgrid[-1:1:128j, -1:1:128j]
    light = 1 - 0.32 * (down**2 + across**2) + 0.2 * across
    slanted = Image.fromarray((np.asarray(image) * light[..., None]).clip(0, 255).astype(np.uint8))
    found = segment(slanted)
    assert (found.lesion & truth).sum() / (found.lesion | truth).sum() > 0.85


def test_lines_are_filled_with_what_is_beside_them():
    image, truth = _close_up()
    before, _ = without_lines(_lab(image))
    _hair(ImageDraw.Draw(image))
    after, hidden = without_lines(_lab(image))
    assert hidden.mean() > 0.05
    inside = hidden & truth
    assert np.abs(after[inside] - before[inside]).mean() < 3


def _lab(image):
    return rgb2lab(np.asarray(image) / 255.0).astype(np.float32)


def test_a_blue_lesion_in_the_middle_is_not_ink():
    lab = np.tile(np.array([68.0, 10.0, 14.0], dtype=np.float32), (128, 128, 1))
    lab[50:80, 50:80] = (40, 5, -14)
    lab[5:25, 5:25] = (40, 15, -25)
    mask = foreign(lab, np.array([68.0, 10.0, 14.0]))
    assert not mask[50:80, 50:80].any()
    assert mask[5:25, 5:25].all()


def _disc(stretch=1.0, radius=28.0):
    down, across = np.mgrid[:100, :100] - 49.5
    return np.hypot(across / stretch, down * stretch) < radius


def test_outline_measures_of_known_shapes():
    assert max(fold_asymmetry(_disc())) < 0.03
    assert elongation(_disc(1.25)) == pytest.approx(1.5625, rel=0.05)
    half = _disc() & (np.mgrid[:100, :100][1] < 50)
    larger, smaller = fold_asymmetry(half)
    assert smaller < 0.05 < 0.1 < larger, "half a disc is symmetric about one axis"


def _painted_disc(softness, waves=0.0):
    """A disc of pigment with a border of known half-width and waves, in radii [256, 256, 3]; its mask [128, 128]."""
    down, across = np.mgrid[:256, :256] - 127.5
    angle = np.arctan2(down, across)
    depth = 1 + waves * np.cos(9 * angle) - np.hypot(down, across) / 64
    cover = np.clip(0.5 + depth / (2 * softness), 0, 1)[..., None]
    pixels = (np.array(SKIN) * (1 - cover) + np.array(PIGMENT) * cover).astype(np.uint8)
    return pixels, (depth > 0)[::2, ::2]


def _traced(softness, waves=0.0):
    pixels, mask = _painted_disc(softness, waves)
    small = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.Resampling.BOX))
    return trace_border(pixels, mask, _lab(small), np.zeros((128, 128), dtype=bool))


def test_the_width_of_the_border_is_that_which_was_drawn():
    sharp, middle, soft = (_traced(softness).width for softness in (0.02, 0.1, 0.2))
    assert sharp < 0.05 < middle < soft
    assert middle == pytest.approx(0.1, abs=0.03), "half of a linear passage lies between its quarters"


def test_irregularity_is_the_height_of_the_waves():
    assert irregularity(_traced(0.05).radii) < 0.006
    ragged = irregularity(_traced(0.05, 0.06).radii)
    assert 0.02 < ragged < 0.06 / np.sqrt(2), "trimmed, and smoothed over a few rays"
    assert irregularity(_traced(0.05, 0.12).radii) > 1.6 * ragged


def test_texture_tells_structure_from_structureless():
    mask = _disc()
    none = np.zeros_like(mask)
    rng = np.random.default_rng(2)
    flat = texture(np.full((100, 100), 50, dtype=np.float32), mask, none, 5)
    rough = texture((50 + rng.normal(0, 8, (100, 100))).astype(np.float32), mask, none, 5)
    assert flat == {"pattern_entropy": 0.0, "local_contrast": 0.0}
    assert rough["pattern_entropy"] > 2.2
    assert rough["local_contrast"] == pytest.approx(8, rel=0.1)
    assert texture(np.zeros((100, 100), dtype=np.float32), _disc(radius=6), none, 5) is None


@pytest.mark.parametrize(
    ("ita", "tone"),
    [
        (56, "very light"),
        (55, "light"),
        (41.5, "light"),
        (41, "intermediate"),
        (28, "tan"),
        (10, "brown"),
        (-30, "dark"),
    ],
)
def test_tone_classes_begin_above_their_limits(ita, tone):
    assert tone_of(ita) == tone


def test_ita_is_the_angle_of_lightness_over_yellow():
    assert skin_ita(np.array([65.0, 10.0, 15.0])) == pytest.approx(45.0)
    assert skin_ita(np.array([65.0, 25.0, 2.0])) is None, "a pink cast"
    assert skin_ita(np.array([65.0, 5.0, -8.0])) is None, "a violet cast"


def test_white_must_be_lighter_than_the_skin():
    bright = np.tile(np.array([76.0, 8.0, 10.0], dtype=np.float32), (50, 1))
    on_tan = colour_shares(bright, np.array([58.0, 12.0, 18.0], dtype=np.float32))
    on_light = colour_shares(bright, np.array([80.0, 9.0, 12.0], dtype=np.float32))
    assert on_tan["white"] == 1.0
    assert on_light["white"] == 0.0


def test_measures_real_images(shared_data):
    pictures = sorted((shared_data / "ham10000_subset" / "images").glob("*.jpg"))[::90]
    found = [measure(Image.open(path)) for path in pictures]
    shares = [m.area_share for m in found if m.area_share is not None]
    assert len(shares) >= 0.85 * len(found)
    assert 0.1 < np.median(shares) < 0.6
    assert np.mean([bool(m.colours) for m in found if m.area_share is not None]) > 0.85
