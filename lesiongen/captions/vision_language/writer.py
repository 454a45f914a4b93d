"""The writer that lets a vision-language model look at every image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from lesiongen.captions.vision_language.answer_cache import AnswerCache
from lesiongen.captions.vision_language.answers import confidences, read_answer
from lesiongen.captions.vision_language.backend import Answer, Backend
from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.captions.vision_language.permission import refuse_uploads
from lesiongen.captions.vision_language.question import Question, ask
from lesiongen.captions.writers import Written
from lesiongen.concepts import Entry, Report
from lesiongen.dataset import Sample

__all__ = ["VisionLanguageWriter", "load_backend"]

LONGEST_QUOTE = 2000


class VisionLanguageWriter:
    """States what a vision-language model sees, in the report's words and nothing else.

    A local model is loaded, and an endpoint first spoken to, when the first image arrives.

    Args:
        config: Model, limits and cache.
        backend: What answers; by default what the configuration names.
    """

    def __init__(self, config: VisionLanguageConfig, backend: Backend | None = None) -> None:
        self._config = config
        self._cache = AnswerCache(config.cache)
        self._backend = backend

    def write(self, samples: Sequence[Sample], images: Sequence[Image.Image]) -> list[Written]:
        """Writes the visual entries of every image.

        An answer that cannot be used is asked for once more; what remains unusable is named in ``refused``, and kept
        like the others: the same question would bring it again.

        Raises:
            UsageError: An image may not leave this machine (nothing was sent), or the model cannot be used.
            BudgetReached: A limit is reached; all answers so far are in the cache.
            ServiceError: The endpoint does not answer.
        """
        if not samples:
            return []
        refuse_uploads(((sample.source, sample.provenance) for sample in samples), self._config)
        if self._backend is None:
            self._backend = load_backend(self._config)
        questions = [ask(sample, image, self._config) for sample, image in zip(samples, images, strict=True)]
        keys = [question.key(self._backend.model) for question in questions]
        answers = dict(enumerate(self._cache.find(keys)))
        asked = {place: questions[place] for place, answer in answers.items() if answer is None}
        answers |= self._ask(asked, keys, self._backend, last=False)
        again = {place: mended for place in asked if (mended := _again(questions[place], answers[place]))}
        answers |= self._ask(again, keys, self._backend, last=True)
        return [_written(question, answers[place]) for place, question in enumerate(questions)]

    def _ask(
        self, questions: Mapping[int, Question], keys: Sequence[str], backend: Backend, *, last: bool
    ) -> dict[int, Answer | None]:
        """Asks the model, and keeps each answer as soon as it is there, unless it is asked for once more."""
        if not questions:
            return {}
        places = list(questions)
        found: dict[int, Answer | None] = {}
        for turn, answer in backend.answer(list(questions.values())):
            place = places[turn]
            found[place] = answer
            if last or _again(questions[place], answer) is None:
                self._cache.keep(keys[place], answer)
        return found


def load_backend(config: VisionLanguageConfig) -> Backend:
    """Returns the endpoint where an address is configured, else the local model, loaded."""
    if config.url is not None:
        from lesiongen.captions.vision_language.endpoint import Endpoint

        return Endpoint(config, config.url)
    from lesiongen.captions.vision_language.local_model import LocalModel

    return LocalModel(config)


def _again(question: Question, answer: Answer | None) -> Question | None:
    """Returns the question with the answer that cannot be used; None where to ask again would not help."""
    if answer is None or answer.refusal is not None:
        return None
    reading = read_answer(answer.text, question.entries)
    if reading.problem is None or reading.diagnosis:
        return None
    problem = f"This cannot be used: {reading.problem}. Answer again with the JSON object alone."
    return replace(question, rejected=(answer.text[:LONGEST_QUOTE], problem))


def _written(question: Question, answer: Answer | None) -> Written:
    if answer is None:
        return Written(report=Report(), refused=("no answer",))
    if answer.refusal is not None:
        return Written(report=Report(), refused=(f"the model refused: {answer.refusal}",))
    reading = read_answer(answer.text, question.entries)
    likely = confidences(reading, answer.pieces)
    entries = {
        name: Entry(value=words, source="vision-language", confidence=likely.get(name))
        for name, words in reading.words.items()
    }
    return Written(report=Report(**entries), refused=reading.refused)
