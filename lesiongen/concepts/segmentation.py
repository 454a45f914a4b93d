"""Finds the lesion in a close-up of skin: hair filled in, dark rim masked, Otsu on the distance from the skin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu

__all__ = ["Segmentation", "segment", "without_fine_structure"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

RIM_LIGHTNESS = 22.0
HAIR_CONTRAST = 9.0
AMPLE_CONTRAST, MINIMAL_CONTRAST = 5.0, 4.0
MINIMAL_AREA = 0.006
MAXIMAL_AREA = 0.92


@dataclass(frozen=True)
class Segmentation:
    """Where the lesion and the skin are, as masks [h, w].

    ``lab`` is CIELAB [h, w, 3] after hair was filled in. ``contrast`` is the mean colour difference between lesion
    and skin. ``problem`` says why no lesion was found; ``lesion`` is then empty.
    """

    lab: Plane
    lesion: Mask
    skin: Mask
    visible: Mask
    distance: Plane
    contrast: float
    problem: str | None


def segment(image: Image.Image) -> Segmentation:
    """Separates lesion and skin in a picture of about a hundred pixels on a side.

    The lesion is what differs from the skin of the picture's margin: Otsu's threshold (1979) on the CIELAB distance,
    with a prior for the centre. Thin dark lines are hair and are closed first (DullRazor, Lee et al. 1997); the dark
    rim of the dermatoscope is left out.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)
    lab = _filled(rgb2lab(pixels).astype(np.float32))
    visible = _visible(lab[..., 0])
    centre = _centre_prior(lab.shape[0], lab.shape[1])
    distance = _distance_from_skin(lab, visible, centre)
    lesion = _lesion(distance, visible, centre)
    around = visible & ~ndimage.binary_dilation(lesion, iterations=max(min(lab.shape[:2]) // 20, 1))
    contrast = _contrast(distance, lesion, visible)
    problem = _problem(lesion, visible, contrast)
    if problem is not None:
        lesion = np.zeros_like(lesion)
        around = visible
    return Segmentation(lab, lesion, around, visible, distance, contrast, problem)


def without_fine_structure(lab: Plane) -> Plane:
    """Removes lines and dots, dark (network, globules, vessels) and bright (scale, cysts), and keeps the regions."""
    width = _fine(lab)
    smooth = np.stack([ndimage.uniform_filter(lab[..., plane], width) for plane in range(3)], axis=-1)
    closed = ndimage.grey_closing(lab[..., 0], size=(width, width))
    smooth[..., 0] = ndimage.grey_opening(closed, size=(width, width))
    return smooth


def _fine(lab: Plane) -> int:
    """The width in pixels below which something is a line or a dot."""
    width: int = round(max(lab.shape[:2]) / 128 * 7) | 1
    return max(width, 3)


def _filled(lab: Plane) -> Plane:
    """Takes the colour of the surroundings where thin dark lines are."""
    width = _fine(lab)
    closed = ndimage.grey_closing(lab[..., 0], size=(width, width))
    hair = closed - lab[..., 0] > HAIR_CONTRAST
    hair &= _elongated(hair)
    if not hair.any():
        return lab
    hair = ndimage.binary_dilation(hair)
    nearest = ndimage.distance_transform_edt(hair, return_distances=False, return_indices=True)
    filled: Plane = lab[tuple(nearest)]
    return filled


def _elongated(mask: Mask) -> Mask:
    """Keeps the components that reach far: lines, not dots."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    keep = np.zeros(count + 1, dtype=bool)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        height, width = (edge.stop - edge.start for edge in box)
        keep[number] = np.hypot(height, width) > 0.22 * max(mask.shape)
    kept: Mask = keep[labels]
    return kept


def _visible(lightness: Plane) -> Mask:
    """Everything but the dark rim: very dark regions that reach a corner."""
    dark = lightness < RIM_LIGHTNESS
    labels, _ = ndimage.label(dark)
    corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    if not corners:
        return np.ones_like(dark)
    rim = np.isin(labels, list(corners))
    visible: Mask = ~ndimage.binary_dilation(rim, iterations=max(max(dark.shape) // 40, 2))
    return visible


def _centre_prior(height: int, width: int) -> Plane:
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    prior: Plane = np.exp(-(down**2 + across**2) / np.float32(2 * 0.75**2))
    return prior


def _distance_from_skin(lab: Plane, visible: Mask, centre: Plane) -> Plane:
    """Colour difference from the margin's skin; what is lighter than skin counts less."""
    smooth = np.stack([ndimage.uniform_filter(lab[..., plane], 3) for plane in range(3)], axis=-1)
    margin = visible & (centre < np.quantile(centre, 0.3))
    if margin.sum() < 20:
        margin = visible if visible.any() else np.ones_like(visible)
    difference = smooth - _plane(smooth, margin)
    lighter = difference[..., 0] > 0
    difference[..., 0] = np.where(lighter, 0.75 * difference[..., 0], difference[..., 0])
    distance: Plane = np.sqrt((difference**2).sum(axis=-1)).astype(np.float32)
    return distance


def _plane(lab: Plane, margin: Mask) -> Plane:
    """The skin under uneven light: a plane through the margin's colours, fitted again without what lies far off."""
    rows, columns = np.nonzero(margin)
    places = np.stack([np.ones(len(rows)), rows, columns], axis=1)
    colours = lab[margin]
    spread = np.abs(colours - np.median(colours, axis=0)).sum(axis=1)
    keep = spread <= np.quantile(spread, 0.7)
    weights = np.linalg.lstsq(places[keep], colours[keep], rcond=None)[0]
    down, across = np.mgrid[: lab.shape[0], : lab.shape[1]]
    plane: Plane = (weights[0] + down[..., None] * weights[1] + across[..., None] * weights[2]).astype(np.float32)
    return plane


def _lesion(distance: Plane, visible: Mask, centre: Plane) -> Mask:
    """Takes the lowest threshold whose region stands out; a higher one finds a small lesion on restless skin."""
    if visible.sum() < 0.2 * visible.size:
        return np.zeros_like(visible)
    weighted = distance * (0.35 + 0.65 * centre)
    otsu = float(threshold_otsu(np.minimum(weighted[visible], np.quantile(weighted[visible], 0.98))))
    margin = weighted[visible & (centre < np.quantile(centre, 0.3))]
    noise = 2.5 * float(np.median(margin)) if len(margin) else 0.0
    region = np.zeros_like(visible)
    for threshold in (min(max(noise, 0.6 * otsu), otsu), 1.3 * otsu, 2.0 * otsu):
        found = _region(visible & (weighted > threshold), distance * centre**2)
        if found.mean() < MINIMAL_AREA:
            break
        region = found
        if _contrast(distance, region, visible) >= AMPLE_CONTRAST:
            break
    return region


def _region(mask: Mask, weight: Plane) -> Mask:
    """Smooths a mask and keeps its heaviest component, holes filled."""
    width = max(mask.shape) / 128
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 1.5 * width)
    smooth = ndimage.binary_opening(soft > 0.5, iterations=max(round(2 * width), 1))
    labels, count = ndimage.label(smooth)
    if count == 0:
        return np.zeros_like(mask)
    weights = ndimage.sum_labels(weight, labels, np.arange(1, count + 1))
    filled: Mask = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(weights)))
    return filled


def _contrast(distance: Plane, lesion: Mask, visible: Mask) -> float:
    skin = visible & ~lesion
    if not lesion.any() or not skin.any():
        return 0.0
    return float(distance[lesion].mean() - distance[skin].mean())


def _problem(lesion: Mask, visible: Mask, contrast: float) -> str | None:
    share = float(lesion.sum() / max(visible.sum(), 1))
    if visible.sum() < 0.2 * visible.size:
        return "most of the picture is dark"
    if share < MINIMAL_AREA:
        return "no region stands out from the skin"
    if share > MAXIMAL_AREA:
        return "no skin around the lesion"
    if contrast < MINIMAL_CONTRAST:
        return f"the lesion differs from the skin by {contrast:.1f} in CIELAB, less than {MINIMAL_CONTRAST:.0f}"
    return None
