"""What the vision-language writer would ask, and what that would cost; nothing is sent."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from lesiongen.captions.vision_language.answer_cache import AnswerCache
from lesiongen.captions.vision_language.budget import CHARACTERS_PER_TOKEN
from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.captions.vision_language.endpoint import model_of
from lesiongen.captions.vision_language.permission import forbidden, host_of, stays_here, unknown_names
from lesiongen.captions.vision_language.question import Question, ask
from lesiongen.captions.vision_language.sight import SHOWN
from lesiongen.captions.writers import DecodedImages
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import UsageError

__all__ = ["Estimate", "estimate"]

BATCH = 64


@dataclass(frozen=True)
class Estimate:
    """A dry run's findings.

    Attributes:
        host: Where the images would go.
        leaves: Whether that is another machine.
        images: Images of the dataset, or of the part.
        answered: Images whose answers are in the cache.
        requests: Requests to send; an answer that cannot be used costs one more.
        prompt_tokens: Estimated tokens of all prompts.
        answer_tokens: Tokens of all answers at their longest.
        cost: Of these tokens, in the currency of the configured prices; None where no price was given.
        forbidden: Data sets that have not been allowed to leave, with their numbers of images.
        unknown: What is said of names that were allowed and are not a source of the images.
    """

    host: str
    leaves: bool
    images: int = 0
    answered: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = None
    forbidden: dict[str, int] = field(default_factory=dict)
    unknown: str | None = None

    def plain(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


def estimate(config: VisionLanguageConfig | None, dataset_uri: str, rows: range | None = None) -> Estimate:
    """Finds out what is not in the cache yet, and estimates the tokens from the prompts' lengths.

    Raises:
        UsageError: No endpoint is configured: a local model costs nothing and sends nothing.
        DataError: An image cannot be decoded; it is named.
    """
    if config is None or config.url is None:
        raise UsageError("A dry run needs an endpoint: a local model sends nothing and costs nothing")
    cache = AnswerCache(config.cache)
    images = asked = characters = 0
    kept_back: Counter[str] = Counter()
    sources: set[str | None] = set()
    for batch in _batches(Dataset.open(dataset_uri).samples(rows=rows)):
        questions = [ask(sample, image, config) for sample, image in zip(batch, DecodedImages(batch), strict=True)]
        missing = _missing(questions, cache, config)
        images += len(batch)
        asked += len(missing)
        characters += sum(question.characters for question in missing)
        sources.update(sample.source for sample in batch)
        kept_back.update(forbidden(((sample.source, sample.provenance) for sample in batch), config))
    prompt_tokens = int(characters / CHARACTERS_PER_TOKEN) + asked * config.image_tokens
    answer_tokens = asked * config.max_answer_tokens
    return Estimate(
        host=host_of(config.url),
        leaves=not stays_here(config),
        images=images,
        answered=images - asked,
        requests=asked + (len(SHOWN) if asked and config.check_sight else 0),
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        cost=_cost(config, prompt_tokens, answer_tokens),
        forbidden=dict(kept_back),
        unknown=unknown_names(sources, config),
    )


def _cost(config: VisionLanguageConfig, prompt_tokens: int, answer_tokens: int) -> float | None:
    """Returns the cost in the currency of the prices, which are of a million tokens; None without prices."""
    if not config.model_fields_set & {"price_input", "price_output"}:
        return None
    return (prompt_tokens * config.price_input + answer_tokens * config.price_output) / 1e6


def _missing(questions: list[Question], cache: AnswerCache, config: VisionLanguageConfig) -> list[Question]:
    model = model_of(config)
    found = cache.find([question.key(model) for question in questions])
    return [question for question, answer in zip(questions, found, strict=True) if answer is None]


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    stream = iter(samples)
    while batch := list(islice(stream, BATCH)):
        yield batch
