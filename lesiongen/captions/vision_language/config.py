"""Configuration of the vision-language writer."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from lesiongen.concepts import VISUAL_ENTRIES
from lesiongen.config import StageConfig

__all__ = ["Fact", "VisionLanguageConfig"]

Fact = Literal["image_type", "site"]


class VisionLanguageConfig(StageConfig):
    """Configuration of the vision-language writer.

    With ``url`` the images go to an OpenAI-compatible endpoint, without it to a local transformers model. Limits hold
    for one run of the command; each part of a job is a run.

    Attributes:
        model: The endpoint's name of the model; without ``url`` a folder, an s3:// prefix or a name on the hub.
        url: Base of the endpoint, up to and including ``/v1``. The key is read from the environment alone.
        revision: Commit of the hub repository of a local model.
        allow_upload: Data sets (``Sample.source``) whose images may leave this machine.
        cache: Folder or s3:// prefix in which answers are kept; needed with ``url``.
        entries: Entries that the model is asked for; those that an image can show, and no other.
        tell: What the prompt says of an image beside its pixels; never the diagnosis or who the patient is.
        image_side: Images are downsized to this longest side, in pixels.
        temperature: 0 is greedy decoding, the only kind a local model uses.
        max_answer_tokens: Longest answer in tokens.
        logprobs: Whether an endpoint is asked for log-probabilities; confidence comes from nothing else.
        check_sight: Whether an endpoint first has to name the colours of two plain images: a server may drop images.
        concurrency: Requests under way at the same time.
        requests_per_minute: Highest rate of requests; None is as fast as the endpoint answers.
        timeout: Seconds that the endpoint may stay silent.
        attempts: Tries of one request, the first included.
        max_requests: Most requests of a run, repeated ones included.
        max_tokens: Most tokens of a run, prompts and answers together.
        max_cost: Most that a run may cost, in the currency of the prices.
        price_input: Price of a million prompt tokens.
        price_output: Price of a million answer tokens.
        image_tokens: Tokens that an image is counted as until the endpoint has reported them.
        batch_size: Images that a local model sees at once.
    """

    model: str = Field(min_length=1, max_length=500)
    url: str | None = None
    revision: str | None = None
    allow_upload: tuple[str, ...] = ()
    cache: str | None = Field(None, min_length=1)
    entries: tuple[str, ...] = Field(VISUAL_ENTRIES, min_length=1)
    tell: tuple[Fact, ...] = ("image_type",)
    image_side: int = Field(512, ge=32, le=2048)
    temperature: float = Field(0.0, ge=0, le=2)
    max_answer_tokens: int = Field(600, ge=16, le=8192)
    logprobs: bool = False
    check_sight: bool = True
    concurrency: int = Field(4, ge=1, le=64)
    requests_per_minute: float | None = Field(None, gt=0)
    timeout: float = Field(120.0, gt=0)
    attempts: int = Field(5, ge=1, le=20)
    max_requests: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    max_cost: float | None = Field(None, gt=0)
    price_input: float = Field(0.0, ge=0)
    price_output: float = Field(0.0, ge=0)
    image_tokens: int = Field(1000, ge=1)
    batch_size: int = Field(4, ge=1, le=256)

    @field_validator("url")
    @classmethod
    def _url_is_a_plain_base(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write http://host:port/v1 or https://host/v1")
        # A manifest and MLflow keep the address: nothing secret may be in it.
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "an address with a user, a password or a query is refused; the key comes from the environment"
            )
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("entries")
    @classmethod
    def _entries_can_be_seen(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for name in entries:
            if name not in VISUAL_ENTRIES:
                raise ValueError(f"unknown entry {name!r}; an image shows {', '.join(VISUAL_ENTRIES)}")
        return tuple(name for name in VISUAL_ENTRIES if name in entries)

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "VisionLanguageConfig":
        if self.url is not None and self.cache is None:
            raise ValueError(
                "url needs cache: a folder or s3:// prefix where the answers are kept, so that none is paid twice"
            )
        if self.max_cost is not None and not (self.price_input or self.price_output):
            raise ValueError("max_cost needs price_input and price_output, the prices of a million tokens")
        return self
