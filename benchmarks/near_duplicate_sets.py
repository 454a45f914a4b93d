"""Real images of several sets, changed copies of them, and what is known of which of them show one photograph."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from lesiongen.imaging import Fingerprint, NearDuplicate, fingerprint
from lesiongen.imaging.decoding import decode_small

SETS = ("isic2017", "ham10000_subset", "ham10000_nevi", "pad_ufes_20_subset")
LOOK_ALIKES = "look_alikes"
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


def window(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns a part of the image, of a half to three quarters of its sides."""
    width, height = np.round(rng.uniform(0.5, 0.75, 2) * image.size).astype(int).tolist()
    left, top = rng.integers(image.width - width), rng.integers(image.height - height)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


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
    """Some images: their names, files and fingerprints, and the lesion and patient of each by the set's own table."""

    names: list[str]
    paths: list[Path]
    prints: list[Fingerprint]
    lesions: list[str]
    patients: list[str]

    def __add__(self, other: "Images") -> "Images":
        """Returns both together, images that both have once."""
        known = set(self.names)
        new = other.chosen([place for place, name in enumerate(other.names) if name not in known])
        return Images(*(mine + theirs for mine, theirs in zip(self._columns(), new._columns(), strict=True)))

    def chosen(self, places: list[int]) -> "Images":
        """Returns the images at some places."""
        return Images(*([column[place] for place in places] for column in self._columns()))

    def _columns(self) -> tuple[list, ...]:
        return self.names, self.paths, self.prints, self.lesions, self.patients


NONE = Images([], [], [], [], [])


def read_set(data: Path, name: str) -> Images:
    """Reads the images of one set."""
    paths = sorted(path for path in (data / name / "images").iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    owners = owners_of(data / name)
    prints = [fingerprint(decode_small(path.read_bytes()).image) for path in paths]
    names = [path.stem for path in paths]
    lesions, patients = ([owners.get(stem, (stem, stem))[of] for stem in names] for of in (0, 1))
    return Images(names, paths, prints, lesions, patients)


def owners_of(folder: Path) -> dict[str, tuple[str, str]]:
    """Returns the lesion and the patient of each image by the table of a set; a patient not named is the lesion."""
    ham, pad = folder / "HAM10000_metadata.csv", folder / "metadata.csv"
    if ham.exists():
        with ham.open(encoding="utf-8") as file:
            return {row["image_id"]: (row["lesion_id"], row["lesion_id"]) for row in csv.DictReader(file)}
    if folder.name.startswith("pad"):
        with pad.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            Path(row["img_id"]).stem: (f"{row['patient_id']}/{row['lesion_id']}", row["patient_id"]) for row in rows
        }
    return {}


def compared_pairs(data: Path) -> dict[frozenset[str], bool]:
    """Returns the pairs that a person has compared by eye, and whether they are one photograph."""
    listed = data / LOOK_ALIKES / "pairs.csv"
    if not listed.exists():
        return dict.fromkeys(SEEN, True)
    with listed.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return dict.fromkeys(SEEN, True) | {
        frozenset((row["first"], row["second"])): row["same_photograph"] == "yes" for row in rows
    }


def kind_of(images: Images, pair: NearDuplicate, compared: Mapping[frozenset[str], bool]) -> str:
    """Tells whether two images are of one lesion by the table, one photograph, or different lesions."""
    if images.lesions[pair.first] == images.lesions[pair.second]:
        return "lesion"
    names = frozenset((images.names[pair.first], images.names[pair.second]))
    return "photograph" if compared.get(names) else "different"
