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
from lesiongen.model_files import model_files

__all__ = ["ConceptScorer", "monet_scores", "opened_scorer"]

TEMPLATES = ("This is skin image of {}", "This is dermatology image of {}", "This is image of {}")
REFERENCES = ("This is skin image", "This is dermatology image", "This is image")
"""MONET's prompts: of a concept, and the same of none."""
SHARPNESS = float(np.exp(4.5944))
"""Inverse temperature of MONET's softmax."""
BATCH = 32
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
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
        name: Its address.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, name: str) -> None:
        self.name = name
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


@contextmanager
def opened_scorer(name: str) -> Iterator[ConceptScorer]:
    """Gives the scorer at an address.

    Args:
        name: A folder, an ``s3://`` prefix or a hub name of a CLIP model of the transformers library.

    Raises:
        UsageError: It cannot be loaded as a CLIP model with its tokenizer and image processor.
        DataError: Its configuration or its weights are damaged, or do not fit together.
        StorageError: It cannot be fetched.
    """
    with model_files(name, None, _WANTED) as folder:
        yield _loaded(folder, name)


def _loaded(folder: Path, name: str) -> ConceptScorer:
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel

    with told_as_damage(folder):
        try:
            config = CLIPConfig.from_pretrained(folder, **_LOCAL)
            check_declared_size(folder, lambda: CLIPModel(config))
            model, info = CLIPModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **_LOCAL
            )
            processor = AutoImageProcessor.from_pretrained(folder, **_LOCAL)
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UsageError(
                f"concept_scorer = {name!r} cannot be loaded: {first_line(error)}",
                hint="It must be a CLIP model of the transformers library with safetensors weights, its tokenizer "
                "and its preprocessor_config.json.",
            ) from error
    check_all_loaded(folder, info)
    return ConceptScorer(model, processor, tokenizer, name)
