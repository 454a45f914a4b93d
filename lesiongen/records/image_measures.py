"""What an evaluation says of the images: fidelity, agreement, drift, memorisation, reconstruction."""

from lesiongen.records.base import Count, Number, Record, added
from lesiongen.records.extractor import ExtractorSource
from lesiongen.records.memorisation import CopySearch

__all__ = [
    "Agreement",
    "Bounded",
    "ClassAgreement",
    "ClassDistance",
    "Contamination",
    "Drift",
    "DriftedColumn",
    "FeatureDistances",
    "Fidelity",
    "Memorisation",
    "NearestPair",
    "Reconstruction",
]


class FeatureDistances(Record):
    """Distances between two sets of images in the features of a network."""

    n_real: Count = None
    n_fake: Count = None
    kid: Number = None
    kid_spread: Number = None
    frechet_distance: Number = None
    precision: Number = None
    recall: Number = None
    density: Number = None
    coverage: Number = None


class ClassDistance(Record):
    """KID of one class; None where there are too few images."""

    n_real: Count = None
    n_synthetic: Count = None
    kid: Number = None


class Fidelity(Record):
    """Distances of the synthetic and, for scale, of held-out real images to the real training images."""

    extractor: str = ""
    source: ExtractorSource | None = added(None)
    """The extractor that the configuration names; None: the classifier of real images."""
    neighbours: Count = None
    synthetic: FeatureDistances = FeatureDistances()
    held_out_real: FeatureDistances = FeatureDistances()
    per_class: dict[str, ClassDistance] = {}


class Agreement(Record):
    """Share of the synthetic images of one class that are recognised as it; None where there are none."""

    n: Count = None
    agreement: Number = None


class ClassAgreement(Record):
    """Share of the synthetic images whose diagnosis a classifier of real images recognises."""

    classifier: str = ""
    n: Count = None
    agreement: Number = None
    chance: Number = None
    per_class: dict[str, Agreement] = {}


class DriftedColumn(Record):
    """Distance of one measured property between real and synthetic images."""

    column: str = ""
    method: str = ""
    distance: Number = None
    drifted: bool = False


class Drift(Record):
    """Drift of measured properties from the real to the synthetic images."""

    tool: str = ""
    threshold: Number = None
    columns: tuple[DriftedColumn, ...] = ()
    share_drifted: Number = None
    absent: tuple[str, ...] = ()


class NearestPair(Record):
    """A synthetic image, the training image nearest to it, and whether it is nearer than the threshold."""

    synthetic: str = ""
    train: str = ""
    similarity: Number = None
    above: bool = False


class Memorisation(Record):
    """How many synthetic images are nearer to a training image than held-out real images are."""

    method: str = ""
    threshold: Number = None
    percentile: Number = None
    expected_share: Number = None
    share_above: Number = None
    n_above: Count = None
    n_synthetic: Count = None
    n_held_out: Count = None
    calibrated: bool = False
    synthetic_quantiles: dict[str, Number] = {}
    held_out_quantiles: dict[str, Number] = {}
    nearest_pairs: tuple[NearestPair, ...] = ()
    search: CopySearch = added(CopySearch())
    """What further descriptors find, all of them together, and which copies they see."""


class Contamination(Record):
    """Numbers of validation and test images that the generator was trained on."""

    validation: Count = None
    test: Count = None


class Bounded(Record):
    """A number and its interval over resamples of the test lesions."""

    value: Number = None
    low: Number = None
    high: Number = None


class Reconstruction(Record):
    """What the generator's autoencoder loses by itself, and what is left to its denoiser."""

    n: Count = None
    peak_signal_to_noise_db: Number = None
    """Mean over the images; those that came back as they were are left out."""
    laplacian_variance_ratio: Number = None
    """Mean variance of the Laplacian of the reconstructions over that of the originals: 1 is as sharp."""
    ceiling: Bounded = Bounded()
    """Balanced accuracy from reconstructions over that from real images."""
    autoencoder: Bounded = Bounded()
    """Balanced accuracy from reconstructions less that from real images."""
    denoiser: Bounded = Bounded()
    """Balanced accuracy from synthetic images less that from reconstructions."""
