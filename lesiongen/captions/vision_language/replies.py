"""What an endpoint's reply means: an answer, a failure that passes, or one that stays."""

import math
from typing import Any, NamedTuple

import httpx

from lesiongen.captions.vision_language.backend import Answer
from lesiongen.captions.vision_language.pacing import retry_after
from lesiongen.errors import LesionGenError, ServiceError, UsageError
from lesiongen.redaction import redact, shown

__all__ = ["Passing", "Reply", "complaint_of", "failure_of", "read_reply"]

_PASSING = {408, 409, 425, 429}
_HINTS = {
    401: "Put the endpoint's key into LESIONGEN_VLM_API_KEY (for api.openai.com, OPENAI_API_KEY is read too).",
    403: "The key in LESIONGEN_VLM_API_KEY may not use this model.",
    404: "Check the address (it usually ends with /v1) and the name of the model.",
    413: "Lower image_side.",
}
_READ = 10_000
"""Characters of a complaint that are looked at."""
_EXHAUSTED = ("insufficient_quota", "billing_hard_limit_reached")


class Passing(Exception):
    """A failure after which the same request may succeed.

    Attributes:
        wait: Seconds that the server asks to wait.
    """

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Reply(NamedTuple):
    """An answer and the tokens it took, where the endpoint says."""

    answer: Answer
    prompt_tokens: int | None
    answer_tokens: int | None


def complaint_of(response: httpx.Response) -> str:
    """Returns what a refusing server says, on one line and bounded, without the key that it may repeat."""
    try:
        error = response.json()
    except ValueError:
        error = response.text
    if isinstance(error, dict):
        error = error.get("error", error)
    if isinstance(error, dict):
        error = " ".join(str(error[key]) for key in ("message", "param", "code") if error.get(key)) or error
    said = " ".join(str(error)[:_READ].split())
    # Before the cut, which could leave a part of the key.
    return shown(said)[:400]


def failure_of(response: httpx.Response, host: str, complaint: str) -> Passing | LesionGenError:
    """Returns the error of a reply that is not 200."""
    status = response.status_code
    problem = f"{host} answered {status}: {complaint}"
    if status == 429 and any(word in complaint for word in _EXHAUSTED):
        return ServiceError(problem, hint="The account has no credit left; waiting does not help.")
    if status in _PASSING or status >= 500:
        return Passing(problem, wait=retry_after(response.headers.get("Retry-After")))
    if 300 <= status < 400:
        return UsageError(f"{host} answers with a redirect", hint="Give the final address; images follow no redirect.")
    kind = UsageError if status in _HINTS else ServiceError
    return kind(problem, hint=_HINTS.get(status))


def read_reply(response: httpx.Response, host: str) -> Reply:
    """Reads a chat completion.

    Raises:
        Passing: The body is not a chat completion.
    """
    try:
        body = response.json()
        choice = body["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Passing(f"{host} answered with no chat completion") from None
    if choice.get("finish_reason") == "content_filter":
        refusal = refusal or "stopped by the endpoint's content filter"
    text = redact(content) if isinstance(content, str) else ""  # answers are kept: a server may repeat the key
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    answer = Answer(text, _pieces(choice.get("logprobs"), text), shown(refusal)[:200] if refusal else None)
    return Reply(answer, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _pieces(logprobs: Any, text: str) -> tuple[tuple[str, float], ...]:
    """Takes the tokens with their log-probabilities, provided that they spell the answer."""
    try:
        pieces = tuple((str(item["token"]), float(item["logprob"])) for item in logprobs["content"])
    except (TypeError, LookupError, ValueError):
        return ()
    spelled = "".join(piece for piece, _ in pieces) == text
    return pieces if spelled and all(math.isfinite(number) for _, number in pieces) else ()
