"""What answers questions: an endpoint or a local model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lesiongen.captions.vision_language.question import Question

__all__ = ["Answer", "Backend"]


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: The answer as it came.
        pieces: The answer's tokens as text, with their log-probabilities, where the backend gives them.
        refusal: Why the model gave no answer, in its own words.
    """

    text: str
    pieces: tuple[tuple[str, float], ...] = ()
    refusal: str | None = None


class Backend(Protocol):
    """A vision-language model."""

    @property
    def model(self) -> dict[str, Any]:
        """What an answer depends on beside the question: the model and how it is sampled."""

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Yields each question's place and its answer, as they come.

        Raises:
            LesionGenError: The model cannot be asked, or a limit is reached; what was answered was yielded before.
        """
