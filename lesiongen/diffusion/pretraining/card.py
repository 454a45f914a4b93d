"""The card of a base model: what it is for, what it has seen, how it was trained, and what it cannot do."""

from collections import Counter

from lesiongen.dataset import Dataset
from lesiongen.dataset.licences import combine_licences
from lesiongen.diffusion.pretraining.config import PretrainConfig
from lesiongen.records.model import Training
from lesiongen.records.origin import LeaveOutOrigin
from lesiongen.records.seen import FINGERPRINTS_NAME, SEEN_NAME, SeenImages

__all__ = ["card"]

OWN = "It was trained from random weights; no other model is in it."
RECOGNISED = (
    f"`{SEEN_NAME}` lists every image with its licence, and `{FINGERPRINTS_NAME}` how it is recognised: an evaluation "
    "leaves out test images that are among them."
)
LIMITS = (
    "Do not use it to diagnose or to advise patients. Its images show what its training images show: diagnoses and "
    "skin tones that are rare or absent above are drawn badly or not at all."
)


def card(config: PretrainConfig, dataset: Dataset, seen: SeenImages, training: Training) -> str:
    """Returns the card as Markdown.

    Args:
        config: How the model was built.
        dataset: What it was trained on.
        seen: The images of it that it has seen.
        training: How the training went.
    """
    parts = {
        "What it has seen": [*_seen(dataset, seen), "", RECOGNISED],
        "How it was trained": _training(config, training),
        "What it is not for": [LIMITS],
    }
    begin = f"A diffusers text-to-image pipeline for skin lesions, {config.image_size} pixels, to fine-tune from. {OWN}"
    lines = [f"# {config.name}", "", begin]
    for title, content in parts.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join([*lines, ""])


def _seen(dataset: Dataset, seen: SeenImages) -> list[str]:
    """Tables of the licences and of the diagnoses, and what was left out."""
    licences = Counter((image.source or dataset.manifest.name, image.licence or "not stated") for image in seen.images)
    combined = combine_licences(licence for _, licence in licences)
    diagnoses = dataset.metadata(["diagnosis"], "train")["diagnosis"].value_counts()
    lines = [
        f"{len(seen.images)} images of {dataset.manifest.name} (version `{dataset.manifest.version[:12]}`). "
        f"Licence of the whole: {combined.text}.",
        "",
        "| source | licence | images |",
        "|---|---|---|",
        *(f"| {source} | {licence} | {count} |" for (source, licence), count in sorted(licences.items())),
        "",
        "| diagnosis | images |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(diagnoses.items())),
    ]
    origin = dataset.manifest.origin
    if isinstance(origin, LeaveOutOrigin):
        names = ", ".join(other.name for other in origin.others)
        lines += ["", f"Left out, by id or by picture, as they are in {names}, too: {len(origin.left_out)} images."]
    return lines


def _training(config: PretrainConfig, training: Training) -> list[str]:
    held_out = "not measured" if training.held_out_loss is None else f"{training.held_out_loss:.4f}"
    return [
        f"- autoencoder: {config.vae_steps} steps of {config.vae_batch_size} images",
        f"- text encoder: {config.text_steps} steps of {config.text_batch_size} captions",
        f"- denoiser: {config.parts} parts of {config.steps_per_part} steps of {config.batch_size} images, "
        f"learning rate {config.learning_rate:g}; loss on held-out images at the end: {held_out}",
        f"- weights in {'16' if config.half_precision else '32'} bits, seed {config.seed}",
    ]
