"""Latents and caption embeddings, computed once: the denoiser then trains alone.

Each encoder is in memory only while it works. What it returns is written to plain ``.npy`` files and read back
memory-mapped, so that memory does not grow with the dataset.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lesiongen.dataset import Dataset
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, SUBGROUPS, Subgroup, subgroups_of
from lesiongen.diffusion.families.family import CaptionEncoder, ImageEncoder, ModelFamily
from lesiongen.diffusion.latents.cache_place import FINISHED, CachePlace
from lesiongen.diffusion.model.folder import folder_digest
from lesiongen.diffusion.orientations import Orientations, orient
from lesiongen.errors import DataError
from lesiongen.imaging import decode, square, to_array
from lesiongen.progress import progress

__all__ = ["LatentCache", "cached", "check_captions"]

CAPTIONS_AT_ONCE = 64
# Pixels that the VAE's encoder sees at once: 32 images of 64x64, 2 of 256x256.
PIXELS_AT_ONCE = 32 * 64 * 64


class LatentCache:
    """The encoded images of one split, and the encoded captions that belong to them.

    Args:
        folder: A finished cache folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        described = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        self._groups: dict[str, list[str | None]] = described["groups"]
        self.side: int = described["side"]
        """Median side of the images' centre squares before they were resized, in pixels."""
        self.caption_of: NDArray[np.int64] = np.array(described["caption_of"], dtype=np.int64)
        self._mean = _mapped(folder / "mean.npy")
        self._deviation = _mapped(folder / "deviation.npy")
        self._of_caption = {name: _mapped(folder / f"caption-{name}.npy") for name in described["conditioning"]}
        self._of_image = {name: _mapped(folder / f"image-{name}.npy") for name in described["image_conditioning"]}

    def __len__(self) -> int:
        return len(self.caption_of)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (c, h, w) of a latent."""
        channels, height, width = self._mean.shape[2:]
        return channels, height, width

    def latents(
        self, images: NDArray[np.int64], orientations: NDArray[np.int64], noise: torch.Tensor | None
    ) -> torch.Tensor:
        """Samples from the posteriors [n, c, h, w]; without noise returns their means."""
        mean = torch.from_numpy(self._mean[images, orientations])
        if noise is None:
            return mean
        return mean.addcmul_(torch.from_numpy(self._deviation[images, orientations]), noise)

    def conditioning(
        self, images: NDArray[np.int64], dropped: NDArray[np.bool_] | None = None
    ) -> dict[str, torch.Tensor]:
        """Returns the inputs of the denoiser: caption embeddings, the empty caption's where ``dropped``, and sizes."""
        rows = self.caption_of[images]
        if dropped is not None:
            rows = np.where(dropped, 0, rows)
        captions = {name: torch.from_numpy(values[rows]) for name, values in self._of_caption.items()}
        return captions | {name: torch.from_numpy(values[images]) for name, values in self._of_image.items()}

    def weights(self, class_balance_power: float, balance_by: Sequence[Subgroup] = ()) -> NDArray[np.float64]:
        """How often to show each image: the count of its cell to the power of ``-class_balance_power``.

        Args:
            class_balance_power: 0: images are seen as often as one another; 1: cells are.
            balance_by: A cell is a diagnosis in one subgroup of these; images of which it is not known are a subgroup
                too.
        """
        cells = pd.DataFrame({name: self._groups[name] for name in ("diagnosis", *balance_by)})
        counts = cells.groupby(list(cells), dropna=False)["diagnosis"].transform("size")
        return np.asarray(counts.to_numpy(dtype=np.float64) ** -class_balance_power)


def cached(
    dataset: Dataset,
    split: str,
    family: ModelFamily,
    *,
    image_size: int,
    orientations: Orientations,
    device: torch.device | None,
    place: CachePlace,
    rows: Sequence[int] | None = None,
) -> LatentCache:
    """Encodes one split of a dataset, or finds it already encoded.

    Args:
        dataset: A captioned dataset.
        split: The only split that is read.
        family: The model whose encoders are used.
        image_size: Side of the square images, in pixels.
        orientations: Each is encoded from the pixels, because a VAE does not commute with mirroring.
        device: Where the encoders run; None: the split is only looked for.
        place: Where caches are kept; an entry is named by the digest of all that it depends on.
        rows: Rows of the split to keep; None: all.

    Raises:
        DataError: The split is empty, or an image has no caption.
        NotEncoded: The split was only looked for, and is not encoded.
    """
    check_captions(dataset, split)
    table = dataset.metadata(columns=["caption", "diagnosis", *SUBGROUP_COLUMNS], split=split)
    kept = list(range(len(table))) if rows is None else sorted(rows)
    table = table.iloc[kept]

    groups = subgroups_of(table)

    def build(folder: Path, device: torch.device) -> None:
        captions = sorted(set(table["caption"]))
        names = _encode_captions(["", *captions], family.caption_encoder(device), folder)
        sides: list[int] = []
        images = _images(dataset, split, set(kept), image_size, sides)
        _encode_images(images, len(kept), family.image_encoder(device), orientations, folder)
        sizes = family.size_conditioning(sides, image_size)
        for name, values in sizes.items():
            np.save(folder / f"image-{name}.npy", values.numpy())
        row_of = {caption: row for row, caption in enumerate(captions, start=1)}
        described = {
            "conditioning": names,
            "image_conditioning": sorted(sizes),
            "caption_of": [row_of[caption] for caption in table["caption"]],
            "side": int(np.median(sides)),
            "groups": {"diagnosis": _texts(table["diagnosis"])} | {name: _texts(groups[name]) for name in SUBGROUPS},
        }
        (folder / FINISHED).write_text(json.dumps(described), encoding="utf-8")

    key = _key(dataset, split, family, image_size, orientations, kept)
    return LatentCache(place.entry(key, None if device is None else partial(build, device=device)))


def check_captions(dataset: Dataset, split: str) -> None:
    """Looks whether a split can be trained on.

    Raises:
        DataError: It is empty, or an image has no caption.
    """
    table = dataset.metadata(columns=["image_id", "caption"], split=split)
    if table.empty:
        raise DataError(f"{dataset.uri} has no rows in its split {split!r}")
    missing = table.loc[~table["caption"].map(lambda value: isinstance(value, str) and bool(value)), "image_id"]
    if len(missing):
        shown = ", ".join(map(str, missing[:10]))
        raise DataError(
            f"{dataset.uri}: {len(missing)} of {len(table)} {split} images have no caption: {shown}",
            hint="Caption it first, and train on what comes of it: lesiongen caption DATASET --output CAPTIONED",
        )


def _key(
    dataset: Dataset, split: str, family: ModelFamily, size: int, orientations: Orientations, rows: list[int]
) -> str:
    parts = {
        "format": 7,
        "family": family.name,
        "dataset": dataset.reference().version,
        "split": split,
        "rows": rows,
        "size": size,
        "orientations": [orientations.flip, orientations.rotations],
        # It says what an empty caption becomes.
        "index": hashlib.sha256((family.folder / "model_index.json").read_bytes()).hexdigest(),
        "encoders": [folder_digest(family.folder / part) for part in family.encoder_parts],
        "captions": dict(family.caption_settings()),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _encode_captions(captions: list[str], encode: CaptionEncoder, folder: Path) -> list[str]:
    stored: dict[str, NDArray[np.float32]] = {}
    with progress("Encoding captions", total=len(captions), unit="captions") as bar:
        for start in range(0, len(captions), CAPTIONS_AT_ONCE):
            batch = captions[start : start + CAPTIONS_AT_ONCE]
            for name, values in encode(batch).items():
                if name not in stored:
                    shape = (len(captions), *values.shape[1:])
                    stored[name] = _created(folder / f"caption-{name}.npy", shape)
                stored[name][start : start + len(batch)] = values.cpu().numpy()
            bar.advance(len(batch))
    return sorted(stored)


def _encode_images(
    images: Iterator[torch.Tensor], count: int, encode: ImageEncoder, orientations: Orientations, folder: Path
) -> None:
    stored: list[NDArray[np.float32]] = []
    start = 0
    with progress("Encoding images", total=count, unit="images") as bar:
        for batch in _batches(images):
            for number, (turn, mirrored) in enumerate(orientations.turns()):
                encoded = encode(orient(batch, turn, mirrored))
                if not stored:
                    shape = (count, len(orientations), *encoded[0].shape[1:])
                    stored = [_created(folder / f"{name}.npy", shape) for name in ("mean", "deviation")]
                for array, values in zip(stored, encoded, strict=True):
                    array[start : start + len(batch), number] = values.cpu().numpy()
            start += len(batch)
            bar.advance(len(batch))


def _images(dataset: Dataset, split: str, rows: set[int], size: int, sides: list[int]) -> Iterator[torch.Tensor]:
    """Yields the pixels [3, size, size] in [-1, 1], and notes the side of each image's centre square."""
    for row, sample in enumerate(dataset.samples(split=split)):
        if row in rows:
            image = decode(sample.image)
            sides.append(min(image.size))
            pixels = to_array(square(image, size))
            yield torch.from_numpy(pixels).permute(2, 0, 1) * 2 - 1


def _batches(images: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yields images stacked to batches of about `PIXELS_AT_ONCE` pixels."""
    waiting: list[torch.Tensor] = []
    for image in images:
        waiting.append(image)
        if len(waiting) * image.shape[1] * image.shape[2] >= PIXELS_AT_ONCE:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


def _created(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    return array


def _texts(values: "pd.Series[Any]") -> list[str | None]:
    return [str(value) if pd.notna(value) else None for value in values]


def _mapped(path: Path) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
