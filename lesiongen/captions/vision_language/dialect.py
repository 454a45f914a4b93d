"""The parts of the chat-completions protocol in which servers and models differ."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from lesiongen.captions.vision_language.config import VisionLanguageConfig

__all__ = ["Dialect"]

_STRUCTURE = ("response_format", "json_schema", "json_object", "schema", "structured", "guided", "grammar")


@dataclass(frozen=True)
class Dialect:
    """Optional fields of a request; each step away from the first gives up one that the server has refused.

    Attributes:
        structure: How JSON is asked for. An answer is checked all the same.
        length: The field that bounds the answer; OpenAI's reasoning models know only the newer one.
        temperature: Whether it is sent; some models allow none but their own.
        logprobs: Whether log-probabilities are asked for.
    """

    structure: Literal["json_schema", "json_object", "text"] = "json_schema"
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    logprobs: bool = False

    def fields(self, config: VisionLanguageConfig, schema: dict[str, Any]) -> dict[str, Any]:
        """Returns the fields of a request's body that this dialect has."""
        fields: dict[str, Any] = {self.length: config.max_answer_tokens}
        if self.temperature:
            fields["temperature"] = config.temperature
        if self.logprobs:
            fields["logprobs"] = True
        if self.structure == "json_schema":
            named = {"name": "lesion_report", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.structure == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return fields

    def without(self, complaint: str) -> "Dialect | None":
        """Returns the dialect without what a server complains of, None where it complains of something else."""
        text = complaint.lower()
        if self.length == "max_tokens" and "max_completion_tokens" in text:
            return replace(self, length="max_completion_tokens")
        if self.temperature and "temperature" in text:
            return replace(self, temperature=False)
        if self.logprobs and "logprobs" in text:
            return replace(self, logprobs=False)
        if self.structure != "text" and any(word in text for word in _STRUCTURE):
            return replace(self, structure="json_object" if self.structure == "json_schema" else "text")
        return None
