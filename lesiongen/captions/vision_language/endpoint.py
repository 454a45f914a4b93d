"""Asks an OpenAI-compatible chat-completions endpoint: vLLM, Ollama, OpenAI."""

import base64
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_when_event_set

from lesiongen.captions.vision_language.backend import Answer
from lesiongen.captions.vision_language.budget import Budget
from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.captions.vision_language.dialect import Dialect
from lesiongen.captions.vision_language.pacing import Clock, Pace, backoff
from lesiongen.captions.vision_language.permission import host_of, is_loopback
from lesiongen.captions.vision_language.question import Question
from lesiongen.captions.vision_language.replies import Passing, Reply, complaint_of, failure_of, read_reply
from lesiongen.captions.vision_language.sight import SHOWN, card, sees
from lesiongen.errors import LesionGenError, ServiceError, UsageError
from lesiongen.imaging import encode_jpeg
from lesiongen.redaction import shown

__all__ = ["KEY_VARIABLE", "Endpoint", "model_of", "request_body"]

logger = logging.getLogger(__name__)
KEY_VARIABLE = "LESIONGEN_VLM_API_KEY"
OPENAI_HOST = "api.openai.com"


class Endpoint:
    """A backend behind HTTP. It retries, keeps to the rate and the budget, and sends the key to nobody else.

    Args:
        config: Address, model and limits.
        url: The configured address.
        clock: Time, for tests.
    """

    def __init__(self, config: VisionLanguageConfig, url: str, clock: Clock | None = None) -> None:
        self.budget = Budget(config)
        self._config = config
        self._url = url
        self._host = host_of(url)
        self._key = _key(url)
        self._clock = clock or Clock()
        self._pace = Pace(config.requests_per_minute, self._clock)
        self._dialect = Dialect(logprobs=config.logprobs)
        self._lock = threading.Lock()
        self._sighted = False
        if self._key and url.startswith("http://") and not is_loopback(url):
            logger.warning("the key and the images travel to %s without encryption", self._host)

    @property
    def model(self) -> dict[str, Any]:
        """The model's name and how it is sampled."""
        return model_of(self._config)

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Asks several questions at a time and yields the answers as they come.

        Raises:
            BudgetReached: The next request could exceed a limit; requests under way have been waited for.
            UsageError: The endpoint refuses the key, the address or the model.
            ServiceError: It does not answer, or not as the protocol says.
        """
        failure: LesionGenError | None = None
        stop = threading.Event()
        with self._client() as client, ThreadPoolExecutor(self._config.concurrency) as pool:
            if self._config.check_sight and not self._sighted:
                self._check_sight(client)
            places: dict[Future[Answer | None], int] = {
                pool.submit(self._ask_unless, stop, client, question): place for place, question in enumerate(questions)
            }
            try:
                for future in as_completed(places):
                    try:
                        answer = future.result()
                    except LesionGenError as error:
                        failure = failure or error
                    else:
                        if answer is not None:
                            yield places[future], answer
            finally:
                stop.set()
        logger.info("%s so far: %s", self._host, self.budget.spent)
        if failure is not None:
            raise failure

    def _ask_unless(self, stop: threading.Event, client: httpx.Client, question: Question) -> Answer | None:
        """Asks, unless another question has failed for good: the next would fail like it."""
        if stop.is_set():
            return None
        try:
            return self._ask(client, question, stop)
        except BaseException:
            stop.set()
            raise

    def _check_sight(self, client: httpx.Client) -> None:
        for colour in SHOWN:
            said = self._ask(client, card(colour), threading.Event()).text
            if not sees(colour, said):
                raise UsageError(
                    f"{self._config.model} at {self._host} does not see images: shown {colour}, it said {said[:80]!r}",
                    hint="Choose a model with vision. If the model sees and only words its answer differently, set "
                    "vision_language.check_sight=false.",
                )
        self._sighted = True

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        # A proxy of the environment would carry what is meant for this machine away from it.
        return httpx.Client(
            timeout=self._config.timeout, headers=headers, trust_env=not is_loopback(self._url), follow_redirects=False
        )

    def _ask(self, client: httpx.Client, question: Question, stop: threading.Event) -> Answer:
        tries = Retrying(
            stop=stop_after_attempt(self._config.attempts) | stop_when_event_set(stop),
            retry=retry_if_exception_type(Passing),
            wait=self._wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return tries(self._try, client, question)
        except Passing as error:
            raise ServiceError(
                f"{error} ({tries.statistics['attempt_number']} attempts)",
                hint="Is the server up, and does it serve this model? Run again later: answered images are not asked "
                "again.",
            ) from None

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        seconds = backoff(state.attempt_number, error.wait if isinstance(error, Passing) else None, self._clock)
        logger.info("%s; next attempt in %.1f s", error, seconds)
        return seconds

    def _try(self, client: httpx.Client, question: Question) -> Answer:
        while True:
            dialect = self._dialect
            response = self._paid(client, question, dialect)
            if isinstance(response, Reply):
                return response.answer
            complaint = complaint_of(response)
            plainer = dialect.without(complaint) if response.status_code in (400, 422) else None
            if plainer is None:
                raise failure_of(response, self._host, complaint)
            self._give_up(dialect, plainer, complaint)

    def _give_up(self, dialect: Dialect, plainer: Dialect, complaint: str) -> None:
        with self._lock:
            if self._dialect == dialect:
                self._dialect = plainer
                logger.warning("%s refuses a field, and is asked without it from here on: %s", self._host, complaint)

    def _paid(self, client: httpx.Client, question: Question, dialect: Dialect) -> Reply | httpx.Response:
        """Sends one request within rate and budget; a refusal costs no tokens."""
        reserved = self.budget.reserve(question.characters)
        prompt: int | None = None
        answer: int | None = None
        try:
            self._pace.wait()
            response = client.post(f"{self._url}/chat/completions", json=request_body(question, self._config, dialect))
            if response.status_code != 200:
                prompt = answer = 0
                return response
            reply = read_reply(response, self._host)
            prompt, answer = reply.prompt_tokens, reply.answer_tokens
            return reply
        except httpx.ConnectError as error:
            prompt = answer = 0
            raise Passing(f"{self._host} cannot be reached: {shown(error)}") from None
        except httpx.TimeoutException:
            raise Passing(f"{self._host} was silent for {self._config.timeout:g} s") from None
        except httpx.TransportError as error:
            raise Passing(f"{self._host} broke off: {type(error).__name__}") from None
        finally:
            self.budget.settle(reserved, prompt, answer)


def model_of(config: VisionLanguageConfig) -> dict[str, Any]:
    """Returns what an answer depends on beside the question; the same model may move to another address."""
    return {
        "kind": "endpoint",
        "name": config.model,
        "temperature": config.temperature,
        "max_tokens": config.max_answer_tokens,
        "logprobs": config.logprobs,
    }


def request_body(question: Question, config: VisionLanguageConfig, dialect: Dialect) -> dict[str, Any]:
    """Returns a chat completion's request with the image as a data URL."""
    image = base64.b64encode(encode_jpeg(question.image)).decode("ascii")
    shown = [
        {"type": "text", "text": question.text},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}},
    ]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": question.system},
        {"role": "user", "content": shown},
    ]
    if question.rejected is not None:
        said, problem = question.rejected
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": problem}]
    return {"model": config.model, "messages": messages, **dialect.fields(config, question.schema)}


def _key(url: str) -> str | None:
    """Reads the endpoint's key. OpenAI's own is sent to OpenAI alone.

    Raises:
        UsageError: It has signs that no header can hold; the message does not repeat it.
    """
    key = os.environ.get(KEY_VARIABLE)
    if not key and urlsplit(url).hostname == OPENAI_HOST:
        key = os.environ.get("OPENAI_API_KEY")
    if key and not (key.strip().isascii() and key.strip().isprintable()):
        raise UsageError(f"The key for {host_of(url)} has signs that no key has", hint="Was it copied in full?")
    return key.strip() if key else None
