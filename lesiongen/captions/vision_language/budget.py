"""What a run may spend on an endpoint, kept before a request is sent and not after."""

import threading
from dataclasses import dataclass

from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.errors import LesionGenError

__all__ = ["Budget", "BudgetReached", "Reservation", "Spent"]

CHARACTERS_PER_TOKEN = 3.0
"""English prose has about four; JSON and lists have fewer. Too low a number only reserves too much."""


class BudgetReached(LesionGenError):
    """The next request could exceed a limit; it was not sent."""


@dataclass(frozen=True)
class Spent:
    """Requests and tokens; the cost is in the currency of the configured prices."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float = 0.0

    def __str__(self) -> str:
        tokens = self.prompt_tokens + self.answer_tokens
        return f"{self.requests:,} requests, {tokens:,} tokens, cost {self.cost:.4f}"

    def plus(self, requests: int, prompt_tokens: int, answer_tokens: int, config: VisionLanguageConfig) -> "Spent":
        """Returns the sum."""
        cost = (prompt_tokens * config.price_input + answer_tokens * config.price_output) / 1e6
        return Spent(
            self.requests + requests,
            self.prompt_tokens + prompt_tokens,
            self.answer_tokens + answer_tokens,
            self.cost + cost,
        )


@dataclass(frozen=True)
class Reservation:
    """The most that a request under way may take."""

    characters: int
    prompt_tokens: int
    answer_tokens: int


class Budget:
    """Counts what was spent, and what requests under way may still spend. Threads may share it."""

    def __init__(self, config: VisionLanguageConfig) -> None:
        self._config = config
        self._spent = Spent()
        self._open: list[Reservation] = []
        self._image_tokens: int | None = None
        self._changed = threading.Condition()

    @property
    def spent(self) -> Spent:
        """What the answers so far have taken."""
        with self._changed:
            return self._spent

    def reserve(self, characters: int) -> Reservation:
        """Takes what a request with a prompt of so many characters and one image may cost at most.

        Waits for requests under way where these may leave enough.

        Raises:
            BudgetReached: The request could exceed a limit.
        """
        with self._changed:
            while True:
                wanted = self._estimate(characters)
                problem = self._problem(wanted)
                if problem is None:
                    self._open.append(wanted)
                    return wanted
                if not self._open:
                    raise BudgetReached(
                        f"{problem}; spent so far: {self._spent}",
                        hint="What was answered is in the cache: raise the limit and run again to ask for the rest.",
                    )
                self._changed.wait()

    def settle(self, reservation: Reservation, prompt_tokens: int | None, answer_tokens: int | None) -> None:
        """Counts a request that was sent; tokens that were not reported count as reserved."""
        with self._changed:
            self._open.remove(reservation)
            if prompt_tokens:
                text = int(reservation.characters / CHARACTERS_PER_TOKEN)
                self._image_tokens = max(self._image_tokens or 1, prompt_tokens - text)
            self._spent = self._spent.plus(
                1,
                reservation.prompt_tokens if prompt_tokens is None else prompt_tokens,
                reservation.answer_tokens if answer_tokens is None else answer_tokens,
                self._config,
            )
            self._changed.notify_all()

    def _estimate(self, characters: int) -> Reservation:
        text = int(characters / CHARACTERS_PER_TOKEN)
        image = self._image_tokens or self._config.image_tokens
        return Reservation(characters, text + image, self._config.max_answer_tokens)

    def _problem(self, wanted: Reservation) -> str | None:
        total = self._spent
        for item in (*self._open, wanted):
            total = total.plus(1, item.prompt_tokens, item.answer_tokens, self._config)
        tokens, config = total.prompt_tokens + total.answer_tokens, self._config
        if config.max_requests is not None and total.requests > config.max_requests:
            return f"max_requests = {config.max_requests} is reached"
        if config.max_tokens is not None and tokens > config.max_tokens:
            return f"max_tokens = {config.max_tokens} could be exceeded by the next request"
        if config.max_cost is not None and total.cost > config.max_cost:
            return f"max_cost = {config.max_cost} could be exceeded by the next request"
        return None
