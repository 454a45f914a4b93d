"""Scores of concepts by a vision-language model, as MONET gives them (Kim et al. 2024, Nature Medicine 30:1154)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from lesiongen.damage import first_line, told_as_damage
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.errors import UsageError
from lesiongen.evaluation.classifier.kinds.pretrained import HUB, LOCAL, check_address, files_of, licence_of, source_of
from lesiongen.model_files import check_model_name
from lesiongen.records.extractor import ModelSource

__all__ = ["ConceptScorer", "check_scorer", "monet_scores", "opened_scorer"]

TEMPLATES = ("This is skin image of {}", "This is dermatology image of {}", "This is image of {}")
REFERENCES = ("This is skin image", "This is dermatology image", "This is image")
"""MONET's prompts: of a concept, and the same of none."""
SHARPNESS = float(np.exp(4.5944))
"""Inverse temperature of MONET's softmax."""
BATCH = 32
HINT = (
    "It must be a CLIP model of the transformers library with safetensors weights, its tokenizer and its "
    "preprocessor_config.json."
)
_WANTED = [
    "config.json", "preprocessor_config.json", "processor_config.json", "*.safetensors", "*.safetensors.index.json",
    "tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json",
]  # fmt: skip


class ConceptScorer:
    """A CLIP model that says how much an image looks like a concept.

    Args:
        model: A `transformers.CLIPModel`.
        processor: Its image processor.
        tokenizer: Its tokenizer.
        source: Where it comes from.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, source: ModelSource) -> None:
        self.source = source
        self._model, self._processor, self._tokenizer = model.eval(), processor, tokenizer

    def scores(self, images: Iterable[Image.Image], terms: Sequence[str]) -> NDArray[np.float64]:
        """Returns the score [n, terms] in [0, 1] of each term on each image (`monet_scores`), batch by batch.

        Args:
            images: At least one.
            terms: Words, as they are put into the prompts.
        """
        stream = iter(images)
        concepts = np.stack([self._texts([template.format(term) for term in terms]) for template in TEMPLATES])
        references, parts = self._texts(REFERENCES), []
        while batch := list(islice(stream, BATCH)):
            parts.append(monet_scores(self._images(batch), concepts, references))
        return np.concatenate(parts)

    @torch.inference_mode()
    def _images(self, images: Sequence[Image.Image]) -> NDArray[np.float64]:
        pixels = self._processor(images=images, return_tensors="pt")["pixel_values"]
        return _unit(self._model.get_image_features(pixel_values=pixels))

    @torch.inference_mode()
    def _texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return _unit(self._model.get_text_features(**tokens))


def _unit(found: Any) -> NDArray[np.float64]:
    """Returns the pooled embeddings [n, d] scaled to length 1."""
    embedding: Tensor = found.pooler_output
    return np.asarray(normalize(embedding.double(), dim=-1).numpy())


def monet_scores(
    images: NDArray[np.float64], concepts: NDArray[np.float64], references: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns MONET's scores [n, terms]: a softmax of the concept against the reference, mean over the templates.

    Args:
        images: Unit embeddings [n, d].
        concepts: Unit embeddings [templates, terms, d] of the templates with each term.
        references: Unit embeddings [templates, d] of the templates without one.

    >>> axes = np.eye(2)
    >>> monet_scores(axes, axes[None, :1], axes[1:]).round(3).tolist()
    [[1.0], [0.0]]
    """
    nearer = np.einsum("nd,ktd->knt", images, concepts) - (images @ references.T).T[:, :, None]
    return np.asarray((1 / (1 + np.exp(-SHARPNESS * nearer))).mean(axis=0))


def check_scorer(name: str) -> None:
    """Refuses what cannot be the address of a scorer; nothing is fetched.

    Raises:
        UsageError: It cannot.
    """
    if name.startswith(HUB):
        check_address(name, (), "concept_scorer")
    else:
        check_model_name(name)


@contextmanager
def opened_scorer(name: str) -> Iterator[ConceptScorer]:
    """Gives the scorer at an address, once it has been tried on an image.

    Args:
        name: A folder, an ``s3://`` prefix or a hub name of a CLIP model of the transformers library; a hub name with
            or without ``hub:``, with it also ``hub:OWNER/NAME@COMMIT``.

    Raises:
        UsageError: It cannot be loaded as a CLIP model with its tokenizer and image processor, or gives no score.
        DataError: Its configuration or its weights are damaged, or do not fit together.
        StorageError: It cannot be fetched.
    """
    check_scorer(name)
    on_hub = not (name.startswith((HUB, "s3://")) or Path(name).is_dir())
    address = f"{HUB}{name}" if on_hub else name
    with files_of(address, _WANTED) as folder:
        source = ModelSource(model="clip", licence=licence_of(folder), **source_of(address, folder))
        scorer = _loaded(folder, name, source)
        _try(scorer, name)
        yield scorer


def _try(scorer: ConceptScorer, name: str) -> None:
    """Scores one image, so that what cannot be scored is found before anything is trained."""
    try:
        scores = scorer.scores([Image.new("RGB", (64, 48))], ["lesion"])
        if not np.isfinite(scores).all():
            raise ValueError("its scores are not finite numbers")
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            f"concept_scorer = {name!r} gives no score of an image: {first_line(error)}", hint=HINT
        ) from error


def _loaded(folder: Path, name: str, source: ModelSource) -> ConceptScorer:
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel

    with told_as_damage(folder):
        try:
            config = CLIPConfig.from_pretrained(folder, **LOCAL)
            check_declared_size(folder, lambda: CLIPModel(config))
            model, info = CLIPModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **LOCAL
            )
            processor = AutoImageProcessor.from_pretrained(folder, **LOCAL)
            tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UsageError(f"concept_scorer = {name!r} cannot be loaded: {first_line(error)}", hint=HINT) from error
    check_all_loaded(folder, info)
    return ConceptScorer(model, processor, tokenizer, source)
