"""Near-duplicates: copies of generated lesions are found in every form, other lesions are not taken for copies."""

import csv

import numpy as np
import pytest
from PIL import Image

from lesiongen.imaging import NearDuplicate, decode, duplicate_groups, encode_jpeg, fingerprint, near_duplicates
from lesiongen.imaging.candidates import NEIGHBOURS, nearest_pairs
from lesiongen.imaging.descriptors import best_orientations, descriptors, spectra
from lesiongen.imaging.duplicates import _compared
from lesiongen.imaging.fingerprints import luminance, pack
from lesiongen.imaging.orientation import INVERSE, ORIENTATIONS, turn_frequencies, turn_images
from lesiongen.phantoms.concepts import PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render


def resized(image, rng):
    return image.resize((round(0.6 * image.width), round(0.6 * image.height)), Image.Resampling.LANCZOS)


def coded(image, rng):
    return decode(encode_jpeg(image, quality=60))


def turned(image, rng):
    return image.transpose(rng.choice(np.array(Image.Transpose)))


def cropped(image, rng):
    left, top, right, bottom = np.round(rng.uniform(0, 0.05, 4) * [*image.size, *image.size]).astype(int).tolist()
    return image.crop((left, top, image.width - right, image.height - bottom))


def all_of_it(image, rng):
    return coded(resized(turned(cropped(image, rng), rng), rng), rng)


def pairs_of(images):
    return [(pair.first, pair.second) for pair in near_duplicates([fingerprint(image) for image in images])]


@pytest.fixture(scope="module")
def lesions():
    config = PhantomConfig(n=100, size=160, seed=5, images_per_lesion=1, duplicate_share=0)
    return [render(draw_concepts(config, number), config.size) for number in range(config.n)]


def test_different_lesions_are_no_duplicates(lesions):
    assert pairs_of(lesions) == []


@pytest.mark.parametrize("change", [resized, coded, turned, cropped, all_of_it])
def test_copies_are_found_and_nothing_else(lesions, change):
    rng = np.random.default_rng(0)
    copies = [change(image, rng) for image in lesions]
    found = set(pairs_of([*lesions, *copies]))
    planted = {(number, number + len(lesions)) for number in range(len(lesions))}
    assert len(found & planted) >= 0.97 * len(planted)
    assert found <= planted


def test_every_orientation_is_recognised(lesions):
    turns = [lesions[0], *(lesions[0].transpose(turn) for turn in Image.Transpose)]
    found = near_duplicates([fingerprint(image) for image in [*turns, *lesions[1:30]]])
    assert len(found) == 8 * 7 // 2
    assert duplicate_groups(found, 37).tolist() == [0] * 8 + list(range(1, 30))


def test_equal_images_are_paired_with_the_first_of_them_only():
    flat = [fingerprint(Image.new("RGB", (40, 30), colour)) for colour in ("black", "red", "black", "black")]
    assert near_duplicates(flat) == [NearDuplicate(0, 2, 1.0), NearDuplicate(0, 3, 1.0)]
    assert duplicate_groups(near_duplicates(flat), 4).tolist() == [0, 1, 0, 0]


def test_flat_and_nearly_flat_images_resemble_nothing(lesions):
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(120, 124, (60, 60, 3), dtype=np.uint8)) for _ in range(20)]
    flat = [Image.new("RGB", (60, 60), (level, 60, 60)) for level in range(60, 180, 6)]
    assert pairs_of([*noise, *flat]) == []


def test_nothing_has_no_duplicates():
    assert near_duplicates([]) == []
    assert duplicate_groups([], 0).tolist() == []
    assert pairs_of([Image.new("RGB", (1, 1))]) == []


def test_a_copy_is_among_the_nearest_however_it_lies(lesions):
    rng = np.random.default_rng(1)
    packed = pack([fingerprint(image) for image in [*lesions, *(all_of_it(image, rng) for image in lesions)]])
    pairs = {tuple(pair) for pair in nearest_pairs(descriptors(packed)).tolist()}
    found = sum((number, number + len(lesions)) in pairs for number in range(len(lesions)))
    assert found >= 99
    assert len(pairs) <= NEIGHBOURS * len(packed)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_is_told_by_spectra(lesions, orientation):
    upright = spectra(pack([fingerprint(image) for image in lesions]))
    turned = turn_frequencies(upright, orientation)
    assert (best_orientations(upright, turned) == INVERSE[orientation]).mean() > 0.95


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("isic2017", {("ISIC_0012127", "ISIC_0012970"), ("ISIC_0000222", "ISIC_0014846")}),
        ("ham10000_subset", set()),
        ("pad_ufes_20_subset", set()),
    ],
)
def test_real_photographs(shared_data, name, known):
    paths = sorted((shared_data / name / "images").iterdir())
    names = {each for pair in known for each in pair}
    paths = [path for number, path in enumerate(paths) if number % 12 == 0 or path.stem in names or len(paths) < 500]
    images = [decode(path.read_bytes()) for path in paths]
    rng = np.random.default_rng(1)
    planted = rng.choice(len(images), 100, replace=False).tolist()
    copies = [all_of_it(images[number], rng) for number in planted]
    found = pairs_of([*images, *copies])
    among = {(paths[first].stem, paths[second].stem) for first, second in found if second < len(images)}
    assert among == known
    pairs = {(number, len(images) + copy) for copy, number in enumerate(planted)}
    assert len(pairs & set(found)) >= 95


def test_different_lesions_that_look_alike_are_no_duplicates_and_true_pairs_are(shared_data):
    folder = shared_data / "look_alikes"
    with (folder / "pairs.csv").open(encoding="utf-8") as file:
        pairs = {(row["first"], row["second"]): row["same_photograph"] == "yes" for row in csv.DictReader(file)}
    # The look-alikes among a thousand more nevi of the same collection.
    more = sorted((shared_data / "ham10000_nevi" / "images").iterdir())[::4]
    paths = {path.stem: path for path in [*more, *sorted((folder / "images").iterdir())]}
    names = list(paths)
    found = near_duplicates([fingerprint(decode(path.read_bytes())) for path in paths.values()])
    named = {frozenset((names[pair.first], names[pair.second])) for pair in found}
    assert {frozenset(pair) for pair, same in pairs.items() if same} <= named
    assert not named & {frozenset(pair) for pair, same in pairs.items() if not same}


def test_every_orientation_has_one_that_turns_it_back():
    picture = np.arange(9).reshape(3, 3)
    for orientation in ORIENTATIONS:
        turned_back = turn_images(turn_images(picture, orientation), int(INVERSE[orientation]))
        assert np.array_equal(turned_back, picture)


def test_the_order_of_the_images_decides_nothing(lesions):
    rng = np.random.default_rng(2)
    # Blended with other lesions, copies come to lie on both sides of the limits.
    others = [lesions[number - 1].resize(lesions[number].size) for number in range(len(lesions))]
    shares = np.linspace(0, 0.4, len(lesions))
    blends = [Image.blend(one, other, share) for one, other, share in zip(lesions, others, shares, strict=True)]
    prints = [fingerprint(image) for image in [*lesions, *(all_of_it(image, rng) for image in blends)]]
    found = {frozenset((pair.first, pair.second)) for pair in near_duplicates(prints)}
    last = len(prints) - 1
    back = near_duplicates(prints[::-1])
    assert {frozenset((last - pair.first, last - pair.second)) for pair in back} == found
    assert 20 < len(found) < 100


def test_parts_are_searched_among_each_other_and_known_ones_not_within(lesions, monkeypatch):
    rng = np.random.default_rng(3)
    copies = [fingerprint(all_of_it(image, rng)) for image in lesions[:20]]
    prints = [*map(fingerprint, lesions[:40]), *copies, *copies[:2]]
    parts = [0] * 20 + [1] * 20 + [1] * 10 + [2] * 10 + [2] * 2
    everything = near_duplicates(prints)
    assert {(number, 40 + number) for number in range(20)} <= {(pair.first, pair.second) for pair in everything}
    assert near_duplicates(prints, parts=parts) == everything
    compared, numbers = [], {luminance(pack([each])).tobytes(): number for number, each in enumerate(prints[:60])}

    def noted(files, pairs):
        light = files.opened().light.astype(np.float32)
        compared.extend([numbers[light[place].tobytes()] for place in pair] for pair in pairs)
        return _compared(files, pairs)

    monkeypatch.setattr("lesiongen.imaging.duplicates._compared", noted)
    assert near_duplicates(prints, parts=parts, known=[0, 1, 2]) == everything
    # Images 40 and 41 of part 1 have equals in part 2.
    held = {number: {part} for number, part in enumerate(parts)} | {40: {1, 2}, 41: {1, 2}}
    assert compared
    assert not [pair for pair in compared if held[pair[0]] & held[pair[1]]]


def test_a_single_known_part_is_not_searched(lesions, monkeypatch):
    monkeypatch.setattr("lesiongen.imaging.duplicates.nearest_pairs", None)
    prints = [fingerprint(lesions[number]) for number in (0, 1, 0)]
    assert near_duplicates(prints, parts=[0, 0, 0], known=[0]) == [NearDuplicate(0, 2, 1.0)]


def test_the_numbers_of_the_parts_decide_nothing(lesions):
    rng = np.random.default_rng(4)
    prints = [fingerprint(image) for image in [*lesions[:30], *(all_of_it(image, rng) for image in lesions[:30])]]
    parts = np.arange(60) % 3
    found = near_duplicates(prints, parts=parts.tolist(), known=[0])
    assert near_duplicates(prints, parts=((parts + 1) % 3).tolist(), known=[1]) == found


def test_the_pairs_are_the_same_in_one_process_and_in_two(lesions, monkeypatch):
    rng = np.random.default_rng(2)
    prints = [fingerprint(image) for image in [*lesions, *(all_of_it(image, rng) for image in lesions)]]
    alone = near_duplicates(prints, least=0.5)
    monkeypatch.setattr("lesiongen.imaging.duplicates.MANY_PAIRS", 0)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert near_duplicates(prints, least=0.5) == alone
    assert len(alone) > 90


def test_the_processes_of_a_search_that_fails_end_before_their_files_are_removed(lesions, monkeypatch):
    there = []

    def compared(work, chunks, *, processes):
        try:
            for chunk in chunks:
                yield work(chunk)
        finally:
            there.append(work.args[0].folder.exists())

    def fail(_):
        raise MemoryError

    monkeypatch.setattr("lesiongen.imaging.duplicates.in_processes", compared)
    monkeypatch.setattr("lesiongen.imaging.duplicates.rounded", fail)
    with pytest.raises(MemoryError):
        pairs_of(lesions[:9])
    assert there == [True]
