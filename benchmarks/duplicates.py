"""How many planted near-duplicates are found among real images, what else is found, and how long it takes.

Each kind is planted 200 times: copies of images drawn from a set join the whole set. A copy counts as found when it is
paired with its original. Pairs among the originals alone are either of one lesion by the set's own table, or were
looked at: `SEEN` lists those that are one photograph; any other is a false positive.
"""

import argparse
import csv
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from harness import machine, table, versions
from PIL import Image

from lesiongen.imaging import Fingerprint, fingerprint, near_duplicates
from lesiongen.imaging.decoding import decode_small

PLANTED = 200
CROP = 0.05
SEEN = {
    frozenset(pair.split("="))
    for pair in """
    ISIC_0000157=ISIC_0014946 ISIC_0000164=ISIC_0014795 ISIC_0000165=ISIC_0014788 ISIC_0000171=ISIC_0015124
    ISIC_0000177=ISIC_0014657 ISIC_0000204=ISIC_0014748 ISIC_0000205=ISIC_0014742 ISIC_0000206=ISIC_0014739
    ISIC_0000215=ISIC_0015313 ISIC_0000222=ISIC_0014846 ISIC_0000223=ISIC_0014818 ISIC_0000224=ISIC_0014791
    ISIC_0012127=ISIC_0012970 ISIC_0012290=ISIC_0013594 ISIC_0012672=ISIC_0012673 ISIC_0012756=ISIC_0013184
    """.split()
}
"""Pairs of ISIC 2017 that a person compared by eye: one photograph, most with other colours, one byte-identical."""


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image at 60% of its size."""
    return image.resize((round(0.6 * image.width), round(0.6 * image.height)), Image.Resampling.LANCZOS)


def coded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image as a JPEG of quality 60."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def flipped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image mirrored, left and right or top and bottom."""
    ways = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
    return image.transpose(ways[rng.integers(2)])


def turned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image turned by 90 degrees, either way."""
    return image.transpose((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)[rng.integers(2)])


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image less 0 to 5% of each side, drawn for each."""
    return _cut(image, rng.uniform(0, CROP, 4))


def cropped_most(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image less 5% of every side."""
    return _cut(image, np.full(4, CROP))


def everything(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns the image cropped, turned, resized and coded."""
    return coded(resized(turned(cropped(image, rng), rng), rng), rng)


def _cut(image: Image.Image, shares: np.ndarray) -> Image.Image:
    left, top, right, bottom = np.round(shares * [*image.size, *image.size]).astype(int).tolist()
    return image.crop((left, top, image.width - right, image.height - bottom))


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "resized to 60%": resized,
    "JPEG 60": coded,
    "flipped": flipped,
    "turned by 90°": turned,
    "cropped by 0 to 5% a side": cropped,
    "cropped by 5% on every side": cropped_most,
    "cropped, turned, resized, coded": everything,
}


def lesions_of(data: Path) -> dict[str, dict[str, str]]:
    """Returns the lesion of each image by the tables of the sets that name one."""
    with (data / "ham10000_subset" / "HAM10000_metadata.csv").open(encoding="utf-8") as file:
        ham = {row["image_id"]: row["lesion_id"] for row in csv.DictReader(file)}
    with (data / "pad_ufes_20_subset" / "metadata.csv").open(encoding="utf-8") as file:
        pad = {Path(row["img_id"]).stem: f"{row['patient_id']}/{row['lesion_id']}" for row in csv.DictReader(file)}
    return {"isic2017": {}, "ham10000_subset": ham, "pad_ufes_20_subset": pad}


def recall(images: list[Image.Image], prints: list[Fingerprint], kind: str, seed: int) -> float:
    """Returns the share of planted copies that are paired with their originals."""
    rng = np.random.default_rng(seed)
    originals = rng.choice(len(images), PLANTED, replace=False).tolist()
    copies = [fingerprint(KINDS[kind](images[number], rng)) for number in originals]
    # An original that has an equal is paired through the first of its equals.
    first = {each.planes: number for number, each in reversed(list(enumerate(prints)))}
    found = set(near_duplicates([*prints, *copies]))
    pairs = [
        {(number, len(prints) + copy), (first[prints[number].planes], len(prints) + copy)}
        for copy, number in enumerate(originals)
    ]
    return sum(bool(pair & found) for pair in pairs) / PLANTED


def found_among(names: list[str], prints: list[Fingerprint], lesions: dict[str, str]) -> dict[str, list[set[str]]]:
    """Returns the pairs among the originals: of one lesion, of one photograph, and false ones."""
    kinds: dict[str, list[set[str]]] = {"lesion": [], "photograph": [], "false": []}
    for first, second in near_duplicates(prints):
        pair = {names[first], names[second]}
        one_lesion = len({lesions.get(name, name) for name in pair}) == 1
        kinds["lesion" if one_lesion else "photograph" if pair in SEEN else "false"].append(pair)
    return kinds


def counted(names: list[str], prints: list[Fingerprint], lesions: dict[str, str]) -> list[object]:
    """Returns a row of the table: images, pairs of each kind, and the share of images in false pairs."""
    pairs = found_among(names, prints, lesions)
    wrong = len(set().union(*pairs["false"])) / len(names)
    return [len(names), *(len(pairs[kind]) for kind in pairs), f"{wrong:.2%}", pairs["false"] or ""]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the three real sets")
    parser.add_argument("--seed", type=int, default=0, help="draws the originals and the crops")
    parser.add_argument("--images", type=int, default=20_000, help="how many images the search is timed on")
    arguments = parser.parse_args()
    sets = {name: sorted((arguments.data / name / "images").iterdir()) for name in lesions_of(arguments.data)}
    recalls: dict[str, list[str]] = {kind: [] for kind in KINDS}
    found, everything_read = [], []
    all_names: list[str] = []
    all_prints: list[Fingerprint] = []
    all_lesions: dict[str, str] = {}
    for name, lesions in lesions_of(arguments.data).items():
        images = [Image.open(path).convert("RGB") for path in sets[name]]
        prints = [fingerprint(decode_small(path.read_bytes()).image) for path in sets[name]]
        everything_read += images
        for kind, values in recalls.items():
            values.append(f"{recall(images, prints, kind, arguments.seed):.3f}")
        stems = [path.stem for path in sets[name]]
        found.append([name, *counted(stems, prints, lesions)])
        all_names, all_prints, all_lesions = all_names + stems, all_prints + prints, all_lesions | lesions
    found.append(["all together", *counted(all_names, all_prints, all_lesions)])
    found.append(["all, in reverse order", *counted(all_names[::-1], all_prints[::-1], all_lesions)])
    print(f"{machine()}\n{versions('numpy', 'pillow')}\n")
    print(f"Recall of {PLANTED} planted copies of each kind\n")
    print(table(["kind", *sets], [[kind, *values] for kind, values in recalls.items()]))
    print("\nPairs among the originals\n")
    print(table(["set", "images", "one lesion", "one photograph", "false", "images in false pairs", "which"], found))
    print(f"\n{timing(everything_read, arguments.images, arguments.seed)}")


def timing(images: list[Image.Image], count: int, seed: int) -> str:
    """Times the search among windows of the real images, of a half to three quarters of their sides."""
    rng = np.random.default_rng(seed)
    prints = [fingerprint(_window(images[number % len(images)], rng)) for number in range(count)]
    started = time.perf_counter()
    pairs = near_duplicates(prints)
    return f"Search among {count:,} images: {time.perf_counter() - started:.1f} s, {len(pairs):,} pairs"


def _window(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = np.round(rng.uniform(0.5, 0.75, 2) * image.size).astype(int).tolist()
    left, top = rng.integers(image.width - width), rng.integers(image.height - height)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


if __name__ == "__main__":
    main()
