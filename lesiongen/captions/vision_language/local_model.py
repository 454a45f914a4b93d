"""Asks a transformers ``image-text-to-text`` model on this machine; images only (SmolVLM, LLaVA)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from lesiongen.captions.vision_language.backend import Answer
from lesiongen.captions.vision_language.config import VisionLanguageConfig
from lesiongen.captions.vision_language.local_files import files_digest, local_files
from lesiongen.captions.vision_language.question import Question
from lesiongen.damage import first_line, told_as_damage
from lesiongen.declared_weights import check_all_loaded, check_declared_size
from lesiongen.errors import UsageError

__all__ = ["LocalModel"]


class LocalModel:
    """A backend in this process: greedy decoding, batches padded on the left, on the GPU where there is one.

    Args:
        config: The model and its batch size.

    Raises:
        UsageError: The model cannot be loaded, or requires custom code.
        DataError: Its configuration or its weights are damaged, or do not fit together.
    """

    def __init__(self, config: VisionLanguageConfig) -> None:
        self._config = config
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with local_files(config.model, config.revision) as folder:
            self._digest = files_digest(folder)
            self._processor, self._model = _load(folder, config.model, self._device)

    @property
    def model(self) -> dict[str, Any]:
        """The digest of the model's files, and the longest answer; precision follows the machine."""
        return {
            "kind": "local",
            "files": self._digest,
            "dtype": str(self._model.dtype),
            "max_tokens": self._config.max_answer_tokens,
        }

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Answers the questions a batch at a time.

        Raises:
            UsageError: A batch does not fit into memory.
        """
        for start in range(0, len(questions), self._config.batch_size):
            batch = questions[start : start + self._config.batch_size]
            try:
                answers = self._generate(batch)
            except torch.OutOfMemoryError as error:
                raise UsageError(
                    f"{self._config.model}: {len(batch)} images at once do not fit into memory",
                    hint="Lower vision_language.batch_size or vision_language.image_side.",
                ) from error
            yield from enumerate(answers, start)

    @torch.inference_mode()
    def _generate(self, questions: Sequence[Question]) -> list[Answer]:
        prompts = [
            self._processor.apply_chat_template(_conversation(question), add_generation_prompt=True, tokenize=False)
            for question in questions
        ]
        inputs = self._processor(
            text=prompts, images=[[question.image] for question in questions], padding=True, return_tensors="pt"
        )
        inputs = inputs.to(self._device, dtype=self._model.dtype)
        chosen = _ChosenLogProbabilities()
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=self._config.max_answer_tokens,
            do_sample=False,
            num_beams=1,
            logits_processor=LogitsProcessorList([chosen]),
        )
        new = tokens[:, inputs["input_ids"].shape[1] :].cpu()
        likely = torch.stack(chosen.steps, dim=1).cpu()
        return [self._answer(row, numbers) for row, numbers in zip(new, likely, strict=True)]

    def _answer(self, tokens: torch.Tensor, log_probabilities: torch.Tensor) -> Answer:
        pieces: list[tuple[str, float]] = []
        text, pending = "", 0.0
        for end, number in enumerate(log_probabilities.tolist(), start=1):
            # Tokens decode to text only together: a letter may be spread over several.
            longer = self._processor.decode(tokens[:end], skip_special_tokens=True)
            pending += number
            if longer != text and longer.startswith(text) and not longer.endswith("\N{REPLACEMENT CHARACTER}"):
                pieces.append((longer[len(text) :], pending))
                text, pending = longer, 0.0
        whole = self._processor.decode(tokens, skip_special_tokens=True)
        return Answer(whole, tuple(pieces) if text == whole else ())


class _ChosenLogProbabilities(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Notes the log-probability of each token that greedy decoding takes, and changes nothing."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(torch.log_softmax(scores.float(), dim=-1).amax(dim=-1))
        return scores


def _conversation(question: Question) -> list[dict[str, Any]]:
    """The system's part is in the user's message, as not every template has a place for it."""
    text = f"{question.system}\n{question.text}"
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    for role, said in zip(("assistant", "user"), question.rejected or (), strict=False):
        # What a model said could spell a control token of its own template.
        messages.append({"role": role, "content": [{"type": "text", "text": re.sub(r"[<>|]", " ", said)}]})
    return messages


def _load(folder: Path, name: str, device: torch.device) -> tuple[Any, Any]:
    with told_as_damage(folder):
        processor, model, info = _parts(folder, name, device)
        check_all_loaded(folder, info)
        processor.tokenizer.padding_side = "left"
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        # Sampling settings of a model have no meaning in greedy decoding, and transformers warns of them.
        model.generation_config.update(temperature=None, top_p=None, top_k=None)
    return processor, model.to(device).eval()


def _parts(folder: Path, name: str, device: torch.device) -> tuple[Any, Any, dict[str, Any]]:
    """Returns the processor, the model, and what transformers reports about how the model was loaded."""
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    kind, local = AutoModelForImageTextToText, {"local_files_only": True, "trust_remote_code": False}
    try:
        check_declared_size(folder, lambda: kind.from_config(AutoConfig.from_pretrained(folder, **local)))
        processor = AutoProcessor.from_pretrained(folder, **local)
        model, info = kind.from_pretrained(
            folder, use_safetensors=True, dtype=_precision(device), output_loading_info=True, **local
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise UsageError(
            f"vision_language.model = {name!r} cannot be loaded: {first_line(error)}",
            hint="It must be an image-text-to-text model of the transformers library whose processor works without "
            "torchvision (SmolVLM, Idefics3, LLaVA); models that take video too, such as Qwen2-VL, are served by "
            "vLLM or Ollama instead.",
        ) from error
    return processor, model, info


def _precision(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
