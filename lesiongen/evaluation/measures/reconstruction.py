"""The reconstruction ceiling: what the generator's autoencoder loses by itself."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import laplace
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio

from lesiongen.evaluation.evidence import Evidence, Results
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.metrics import Resamples, balanced_accuracy
from lesiongen.evaluation.measures.subgroups import resampled_recall
from lesiongen.evaluation.pixel_files import each
from lesiongen.evaluation.report.figures import reconstructions_figure
from lesiongen.evaluation.report.text import bounds_of
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Bounded, Reconstruction
from lesiongen.records.scores import Condition
from lesiongen.records.text import number
from lesiongen.reporting import Block, Facts, Figure, Section, Table, Text

__all__ = ["ReconstructionCeiling", "losses_of_parts", "laplacian_variance_ratio", "peak_signal_to_noise"]

FIGURE = "reconstructions"


class ReconstructionCeiling(Measure):
    """Real training images as the autoencoder gives them back, as images and as what a classifier learns from."""

    place = 25

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``reconstruction``; None where no reconstructions were given."""
        reconstructed = evidence.material.reconstructed
        if reconstructed is None:
            return {"reconstruction": None}
        originals = evidence.material.train.images
        found = Reconstruction(
            n=len(reconstructed),
            peak_signal_to_noise_db=peak_signal_to_noise(originals, reconstructed.images),
            laplacian_variance_ratio=laplacian_variance_ratio(originals, reconstructed.images),
        )
        return {"reconstruction": found.changed(**losses_of_parts(evidence))}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws training images beside their reconstructions; both show patients."""
        material = evidence.material
        if material.reconstructed is None or not evidence.config.allow_real_images:
            return {}
        return {FIGURE: reconstructions_figure(material.train, material.reconstructed, material.classes)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns a section on the two parts of the generator, where it was measured."""
        found = evaluation.reconstruction
        if found is None:
            return []
        facts: dict[str, str | float | None] = {
            "ceiling": f"{number(found.ceiling.value)} ({bounds_of(found.ceiling)})",
            "peak signal to noise": f"{number(found.peak_signal_to_noise_db, '.1f')} dB",
            "variance of the Laplacian kept": number(found.laplacian_variance_ratio, ".0%"),
        }
        rows = [
            ("autoencoder", "real to reconstruction", found.autoencoder.value, bounds_of(found.autoencoder)),
            ("denoiser", "reconstruction to synthetic", found.denoiser.value, bounds_of(found.denoiser)),
        ]
        text = (
            "The ceiling is the balanced accuracy from reconstructions over that from real images: what the denoiser "
            "draws passes through the same decoder. The denoiser's part holds all else that sets drawn images apart "
            "from reconstructions: captions, guidance, and how many are drawn of each diagnosis. The variance of the "
            "Laplacian says how sharp the images are; a high signal-to-noise ratio does not show that they are blurred."
        )
        blocks: list[Block] = [Facts(facts), Table(("part", "from, to", "balanced accuracy", "interval"), rows)]
        if FIGURE in figures:
            blocks.append(Figure(figures[FIGURE], "Training images, each before its reconstruction"))
        return [Section("What the parts of the generator lose", [*blocks, Text(text)])]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the ceiling, and how faithful the images are."""
        found = evaluation.reconstruction
        if found is None:
            return {}
        return {
            "reconstruction_ceiling": found.ceiling.value,
            "reconstruction_peak_signal_to_noise_db": found.peak_signal_to_noise_db,
            "reconstruction_laplacian_variance_ratio": found.laplacian_variance_ratio,
        }


def peak_signal_to_noise(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> float | None:
    """Returns the mean peak signal-to-noise ratio in dB of images [n, h, w, 3], by scikit-image.

    It is infinite for an image that came back as it was; such images are left out. None where no other is left.
    """
    pairs = zip(each(originals), each(reconstructions), strict=True)
    ratios = [peak_signal_noise_ratio(one, other, data_range=255) for one, other in pairs if (one != other).any()]
    return float(np.mean(ratios)) if ratios else None


def laplacian_variance_ratio(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> float | None:
    """Returns how much of the originals' fine structure the reconstructions keep; images are [n, h, w, 3].

    It is the mean variance of the Laplacian of the luminance (Pech-Pacheco et al. 2000), of the reconstructions over
    that of the originals: below 1 they are blurred. None where the originals have no structure.
    """
    before, after = (_laplacian_variance(images) for images in (originals, reconstructions))
    return after / before if before > 0 else None


def _laplacian_variance(images: NDArray[np.uint8]) -> float:
    return float(np.mean([laplace(rgb2gray(image)).var() for image in each(images)]))


def losses_of_parts(results: Results) -> dict[str, Bounded]:
    """Shares the change from real to synthetic images out to the autoencoder and the denoiser."""
    real, reconstruction, synthetic = (_accuracy(results, name) for name in ("real", "reconstruction", "synthetic"))
    ceiling = np.divide(reconstruction, real, out=np.full_like(real, np.nan), where=real > 0)
    return {
        "ceiling": _bounded(ceiling, results.resamples),
        "autoencoder": _bounded(reconstruction - real, results.resamples),
        "denoiser": _bounded(synthetic - reconstruction, results.resamples),
    }


def _accuracy(results: Results, condition: Condition) -> NDArray[np.float64]:
    """Returns the balanced accuracy, mean over the seeds, on the test images and then on each resample of lesions."""
    labels, classes = results.material.test.labels, len(results.material.classes)
    predictions = results.outcomes[condition].predictions
    plain = np.mean([balanced_accuracy(labels, row, classes) for row in predictions])
    everything, present = np.ones(len(labels), dtype=bool), np.bincount(labels, minlength=classes) > 0
    return np.append(plain, resampled_recall(labels, predictions, everything, present, results.resamples))


def _bounded(values: NDArray[np.float64], resamples: Resamples) -> Bounded:
    low, high = resamples.interval(values[1:])
    return Bounded(value=float(values[0]), low=low, high=high)
