"""What is done, in words: part of evaluation.json and of the report."""

from collections.abc import Iterable

from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.report.mixing import describe_mixing
from lesiongen.records.evaluation import Protocol

__all__ = ["describe_protocol"]


RECONSTRUCTION = (
    "In the condition reconstruction the training images are the real ones as the generator's autoencoder gives them "
    "back, the mean of their latents decoded: what it loses against real images the autoencoder loses, what synthetic "
    "images lose beyond it the denoiser. It takes part in no test, and its classifier is never the one that is kept."
)


def describe_protocol(
    config: EvaluateConfig, kind: str = "small", *, reconstruction: bool = False, test_sets: Iterable[str] = ()
) -> Protocol:
    """Describes how the classifiers are trained, picked, tested and compared.

    Args:
        config: The settings.
        kind: The kind of the primary classifier.
        reconstruction: Whether there is a condition ``reconstruction``.
        test_sets: Names of the test sets from elsewhere.

    >>> describe_protocol(EvaluateConfig(steps=100)).training[:52]
    'Every condition takes 100 steps of 64 images, drawn '
    """
    training, selection = _fitted_heads(config) if kind == "lite0" else _trained_networks(config)
    return Protocol(
        training=training,
        selection=selection,
        test=_tested_on(tuple(test_sets)),
        both=describe_mixing(config, kind),
        intervals=(
            f"Intervals are {config.confidence:.0%} percentile intervals over {config.n_bootstrap:,} resamples of the "
            f"test lesions, of the mean over the classifiers ({config.n_seeds})."
        ),
        tests=(
            "Tests are two-sided paired permutation tests over the test lesions, "
            f"{config.n_permutations:,} permutations each, on predictions averaged over the classifiers, with Holm's "
            "correction over those that can be computed of the family that the configuration declares "
            f"({'; '.join(config.family)}); below "
            f"{config.significance_level:g} a difference counts as significant."
        ),
        reconstruction=RECONSTRUCTION if reconstruction else "",
    )


def _tested_on(test_sets: tuple[str, ...]) -> str:
    if not test_sets:
        return "Only the real test split is tested on; its lesions and patients are in no other split."
    return (
        "Tested on is the real test split, whose lesions and patients are in no other split, and, reported apart, each "
        f"test set from elsewhere ({', '.join(test_sets)}), without the images that overlap with what is learnt from. "
        "No test set decides anything."
    )


def _trained_networks(config: EvaluateConfig) -> tuple[str, str]:
    return (
        f"Every condition takes {config.steps} steps of {config.batch_size} images, drawn evenly over the "
        "diagnoses, turned, mirrored and recoloured at random, and starts from the same weights for the same seed.",
        "The best of the checked states by balanced accuracy on the real validation split is kept.",
    )


def _fitted_heads(config: EvaluateConfig) -> tuple[str, str]:
    return (
        "Every condition fits logistic heads to frozen features of EfficientNet-Lite0, weighted evenly over the "
        "diagnoses, with the same strength of regularisation; a classifier is the mean of heads that were fitted to "
        "resamples of its training lesions.",
        "The strength was chosen on the real training and validation splits, once for all conditions.",
    )
