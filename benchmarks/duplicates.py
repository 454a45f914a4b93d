"""How many planted near-duplicates are found among real images, what else is found, and how long it takes.

Each kind is planted 200 times: copies of images drawn from a set join the whole set. A copy counts as found when it is
paired with its original. Pairs among the originals alone are either of one lesion by the set's own table, or were
looked at: `SEEN` lists those that are one photograph; any other is a false positive.

The lesions are divided into two halves at random. The limit that one half suggests, half way between what different
lesions and copies reach, can then be compared with what different lesions of the other half reach.
"""

import argparse
import csv
import resource
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from harness import machine, table, versions
from PIL import Image

from lesiongen.imaging import SAME_PHOTOGRAPH, Fingerprint, FingerprintFile, NearDuplicate, fingerprint, near_duplicates
from lesiongen.imaging.decoding import decode_small

PLANTED = 200
CROP = 0.05
SHOWN = 0.5
"""Agreement from which on pairs are listed to see how near different lesions come to the limit."""
SEEN = {
    frozenset(pair.split("="))
    for pair in """
    ISIC_0000157=ISIC_0014946 ISIC_0000164=ISIC_0014795 ISIC_0000165=ISIC_0014788 ISIC_0000171=ISIC_0015124
    ISIC_0000177=ISIC_0014657 ISIC_0000204=ISIC_0014748 ISIC_0000205=ISIC_0014742 ISIC_0000206=ISIC_0014739
    ISIC_0000215=ISIC_0015313 ISIC_0000222=ISIC_0014846 ISIC_0000223=ISIC_0014818 ISIC_0000224=ISIC_0014791
    ISIC_0000225=ISIC_0014778 ISIC_0000229=ISIC_0014771 ISIC_0027636=ISIC_0027994 ISIC_0025387=ISIC_0029880
    ISIC_0025226=ISIC_0030074 ISIC_0027027=ISIC_0029036 ISIC_0034228=ISIC_0034248
    ISIC_0012127=ISIC_0012970 ISIC_0012290=ISIC_0013594 ISIC_0012672=ISIC_0012673 ISIC_0012756=ISIC_0013184
    """.split()
}
"""Pairs that a person compared by eye: one photograph, most with other colours, one byte-identical."""


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


@dataclass(frozen=True)
class Images:
    """Some images: their names, files, fingerprints, and the lesion of each by the set's own table."""

    names: list[str]
    paths: list[Path]
    prints: list[Fingerprint]
    lesions: list[str]

    def __add__(self, other: "Images") -> "Images":
        """Returns both together, images that both have once."""
        known = set(self.names)
        new = [place for place, name in enumerate(other.names) if name not in known]
        columns = zip(_columns(self), _columns(other), strict=True)
        return Images(*([*mine, *(theirs[place] for place in new)] for mine, theirs in columns))


def _columns(images: Images) -> tuple[list, ...]:
    return images.names, images.paths, images.prints, images.lesions


def read_set(data: Path, name: str) -> Images:
    """Reads the images of one set."""
    paths = sorted((data / name / "images").iterdir())
    lesions = lesions_of(data / name)
    prints = [fingerprint(decode_small(path.read_bytes()).image) for path in paths]
    names = [path.stem for path in paths]
    return Images(names, paths, prints, [lesions.get(stem, stem) for stem in names])


def lesions_of(folder: Path) -> dict[str, str]:
    """Returns the lesion of each image by the table of a set that names one."""
    ham, pad = folder / "HAM10000_metadata.csv", folder / "metadata.csv"
    if ham.exists():
        with ham.open(encoding="utf-8") as file:
            return {row["image_id"]: row["lesion_id"] for row in csv.DictReader(file)}
    if folder.name.startswith("pad"):
        with pad.open(encoding="utf-8") as file:
            return {Path(row["img_id"]).stem: f"{row['patient_id']}/{row['lesion_id']}" for row in csv.DictReader(file)}
    return {}


def agreements(images: Images, kind: str, seed: int) -> dict[int, float]:
    """Returns how far planted copies agree with their originals, by the original; 0 for one that is not found."""
    rng = np.random.default_rng(seed)
    originals = rng.choice(len(images.names), min(PLANTED, len(images.names)), replace=False).tolist()
    copies = [fingerprint(KINDS[kind](Image.open(images.paths[number]).convert("RGB"), rng)) for number in originals]
    # An original that has an equal is paired through the first of its equals.
    first = {each.planes: number for number, each in reversed(list(enumerate(images.prints)))}
    found = {
        (pair.first, pair.second): pair.agreement for pair in near_duplicates([*images.prints, *copies], least=SHOWN)
    }
    count = len(images.prints)
    return {
        number: max(found.get((place, count + copy), 0.0) for place in (number, first[images.prints[number].planes]))
        for copy, number in enumerate(originals)
    }


def half_of(lesion: str) -> int:
    """Returns the half, 0 or 1, that a lesion falls into."""
    return zlib.crc32(lesion.encode()) & 1


def kind_of(images: Images, pair: NearDuplicate) -> str:
    """Tells whether two images are of one lesion by the table, one photograph, or different lesions."""
    if images.lesions[pair.first] == images.lesions[pair.second]:
        return "lesion"
    names = frozenset((images.names[pair.first], images.names[pair.second]))
    return "photograph" if names in SEEN else "different"


def counted(name: str, images: Images, pairs: list[NearDuplicate]) -> list[object]:
    """Returns a row of the table of what was found among the originals."""
    kinds = [kind_of(images, pair) for pair in pairs if pair.agreement >= SAME_PHOTOGRAPH]
    nearest = max((pair.agreement for pair in pairs if kind_of(images, pair) == "different"), default=0.0)
    compared = len(images.names) * (len(images.names) - 1) // 2
    kinds_counted = [kinds.count(kind) for kind in ("lesion", "photograph", "different")]
    return [name, len(images.names), f"{compared:,}", *kinds_counted, f"{nearest:.3f}"]


def halves(images: Images, pairs: list[NearDuplicate], copies: dict[str, dict[int, float]]) -> list[list[object]]:
    """Returns, for each half, what different lesions reach at most, and copies at least but for one in a hundred."""
    rows: list[list[object]] = []
    for half in (0, 1):
        mine = [half_of(lesion) == half for lesion in images.lesions]
        reached = [
            pair.agreement
            for pair in pairs
            if mine[pair.first] and mine[pair.second] and kind_of(images, pair) == "different"
        ]
        planted = [value for found in copies.values() for number, value in found.items() if mine[number]]
        count, highest, lowest = sum(mine), max(reached, default=0.0), float(np.quantile(planted, 0.01))
        missed = sum(value < SAME_PHOTOGRAPH for value in planted)
        wrong = sum(value >= SAME_PHOTOGRAPH for value in reached)
        middle = (highest + lowest) / 2
        rows.append([half, f"{count * (count - 1) // 2:,}", wrong, f"{highest:.3f}", len(planted), missed,
                     f"{lowest:.3f}", f"{middle:.2f}"])  # fmt: skip
    return rows


SETS = ("isic2017", "ham10000_subset", "ham10000_nevi", "pad_ufes_20_subset")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--seed", type=int, default=0, help="draws the originals and the crops")
    parser.add_argument(
        "--images", type=int, nargs="*", default=[10_015, 100_000], help="numbers of images that the search is timed on"
    )
    arguments = parser.parse_args()
    print(f"{machine()}\n{versions('numpy', 'pillow', 'faiss-cpu')}\n")
    sets = {name: read_set(arguments.data, name) for name in SETS if (arguments.data / name).is_dir()}
    planted = {
        name: {kind: agreements(images, kind, arguments.seed) for kind in KINDS} for name, images in sets.items()
    }
    print(f"Recall of {PLANTED} planted copies of each kind\n")
    print(table(["kind", *sets], [[kind, *(_recall(planted[name][kind]) for name in sets)] for kind in KINDS]))
    together = Images([], [], [], [])
    found = []
    for name, images in sets.items():
        found.append(counted(name, images, near_duplicates(images.prints, least=SHOWN)))
        together += images
    if (arguments.data / "look_alikes").is_dir():
        together += read_set(arguments.data, "look_alikes")
    everywhere = near_duplicates(together.prints, least=SHOWN)
    found.append(counted("all together", together, everywhere))
    print("\nPairs among the originals\n")
    print(table(["set", "images", "pairs", "one lesion", "one photograph", "false", "different reach"], found))
    print(f"\nEither half of the lesions; the limit is {SAME_PHOTOGRAPH}\n")
    all_planted = _joined(planted, sets, together)
    columns = ["half", "pairs", "false", "different reach", "copies", "missed", "copies reach (1%)", "middle"]
    print(table(columns, halves(together, everywhere, all_planted)))
    for count in arguments.images:
        print(f"\n{timing(together.paths, count, arguments.seed)}")


def _recall(found: dict[int, float]) -> str:
    return f"{np.mean([value >= SAME_PHOTOGRAPH for value in found.values()]):.3f}"


def _joined(
    planted: dict[str, dict[str, dict[int, float]]], sets: dict[str, Images], together: Images
) -> dict[str, dict[int, float]]:
    """Returns the agreement of the copies of all sets, by kind and set, with the originals' places among all."""
    places = {name: place for place, name in enumerate(together.names)}
    return {
        f"{name} {kind}": {places[sets[name].names[number]]: value for number, value in found.items()}
        for name, kinds in planted.items()
        for kind, found in kinds.items()
    }


def timing(paths: list[Path], count: int, seed: int) -> str:
    """Times the search among windows of the real images, of a half to three quarters of their sides."""
    rng = np.random.default_rng(seed)
    prints = FingerprintFile()
    for number in range(count):
        prints.append(fingerprint(_window(Image.open(paths[number % len(paths)]).convert("RGB"), rng)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    pairs = near_duplicates(prints)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return (
        f"Search among {count:,} images: {seconds:.1f} s ({after.ru_utime - before.ru_utime:.1f} s of processor time), "
        f"{len(pairs):,} pairs, peak memory of the process {after.ru_maxrss / 1024:,.0f} MiB"
    )


def _window(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = np.round(rng.uniform(0.5, 0.75, 2) * image.size).astype(int).tolist()
    left, top = rng.integers(image.width - width), rng.integers(image.height - height)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


if __name__ == "__main__":
    main()
