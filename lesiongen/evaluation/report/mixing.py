"""How synthetic images are mixed in, in words."""

from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.records.evaluation import MixProtocol

__all__ = ["describe_mixing"]


def describe_mixing(config: EvaluateConfig, kind: str = "small") -> MixProtocol:
    """Describes the protocol of the condition ``both``.

    Args:
        config: The settings.
        kind: The kind of the primary classifier.

    >>> describe_mixing(EvaluateConfig(protocol="pretrain", synthetic_until=0.25)).meaning
    'In the condition both, the first 25% of the steps take synthetic images alone; the rest take real images alone.'
    """
    name, heads = config.protocol, kind == "lite0"
    told = _of_the_loss(config) if heads else _of_the_steps(config)
    return MixProtocol(
        name=name,
        synthetic_share=None if name in ("concat", "pretrain") else config.synthetic_fraction,
        until=None if heads or name == "concat" else config.synthetic_until,
        synthetic_weight=config.synthetic_weight if name == "concat" else None,
        meaning=f"In the condition both, {told}",
    )


def _of_the_steps(config: EvaluateConfig) -> str:
    """Describes what the steps of a network are taken with."""
    share, first = f"{config.synthetic_fraction:.0%}", f"the first {config.synthetic_until:.0%} of the steps"
    curriculum = f"{share} of each batch is synthetic during {first}; the rest of the batches is real."
    told = {
        "curriculum": curriculum,
        "concat": (
            "real and synthetic images are one pool: a diagnosis is drawn, evenly, and one of its images, a synthetic "
            f"one {config.synthetic_weight:g} times as often as a real one."
        ),
        "pretrain": f"{first} take synthetic images alone; the rest take real images alone.",
        "separate-norm": (
            f"{curriculum} Batch normalisation takes the statistics of real and of synthetic images apart, and "
            "predicts with those of real ones; the weights are shared."
        ),
        "minority": (
            f"{_MINORITY} {share} of the images drawn of such a diagnosis are synthetic during {first}; everything "
            "else is real."
        ),
    }
    return told[config.protocol]


def _of_the_loss(config: EvaluateConfig) -> str:
    """Describes the weights in the loss of heads that are fitted at once."""
    share = f"{config.synthetic_fraction:.0%}"
    curriculum = f"synthetic images have {share} of the weight in the loss; the rest is of real images."
    told = {
        "curriculum": curriculum,
        "concat": (
            "real and synthetic images are one pool: within a diagnosis a synthetic image has "
            f"{config.synthetic_weight:g} times the weight of a real one in the loss."
        ),
        "separate-norm": (
            f"{curriculum} The features of real and of synthetic images are standardised apart, and those of predicted "
            "images as real ones are."
        ),
        "minority": (
            f"{_MINORITY} They have {share} of the weight of such a diagnosis in the loss; everything else is of real "
            "images."
        ),
    }
    return told[config.protocol]


_MINORITY = "only the diagnoses with fewer real training images than the median diagnosis get synthetic images."
