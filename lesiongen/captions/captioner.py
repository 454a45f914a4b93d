"""Makes one report of what the writers state, and one caption of the report."""

from dataclasses import replace

import numpy as np

from lesiongen.captions.checks import check
from lesiongen.captions.config import CaptionConfig
from lesiongen.captions.journal import Described
from lesiongen.captions.result import CaptionCounts
from lesiongen.captions.tokenizers import load_tokenizers, token_budget
from lesiongen.concepts import Composed, Report, compose, count_tokens, label_only
from lesiongen.dataset import Sample
from lesiongen.errors import UsageError
from lesiongen.seeds import derive_seed

__all__ = ["Captioner"]


class Captioner:
    """Writes captions by one configuration, and counts what it does.

    Args:
        config: Tokenizer, budget and wording.

    Raises:
        UsageError: The tokenizer cannot be loaded, or takes fewer tokens than are wanted.
    """

    def __init__(self, config: CaptionConfig) -> None:
        self.config = config
        self.tokenizers = load_tokenizers(config.tokenizer)
        self.budget = token_budget(self.tokenizers, config.max_tokens)
        self.counts = CaptionCounts(budget=self.budget)

    def captioned(self, sample: Sample, described: Described) -> Sample:
        """Returns the sample with its report, its caption and the measured tone."""
        checked = check({writer: written.report for writer, written in described.items()}, sample)
        composed = self.compose(sample, checked.report, label_alone=checked.rejected)
        self.counts.add(sample.image_id, described, checked, composed)
        measured = described.get("measured")
        tone = measured.tone if measured else sample.measured_tone
        return replace(sample, concepts=checked.report.to_text(), caption=composed.text, measured_tone=tone)

    def compose(self, sample: Sample, report: Report, *, label_alone: bool = False) -> Composed:
        """Writes the caption of a report: the same for the same seed, image and report.

        Args:
            sample: Whose caption it is.
            report: What may be said.
            label_alone: Name the diagnosis and nothing else, as the whole stage does with ``label_only``.
        """
        if not (label_alone or self.config.label_only):
            rng = np.random.default_rng(derive_seed(self.config.seed, "caption", sample.image_id))
            return compose(report, sample.diagnosis, self.tokenizers, self.budget, rng)
        text = label_only(sample.diagnosis)
        tokens = count_tokens(self.tokenizers, text)
        if tokens > self.budget:
            raise UsageError(f"max_tokens = {self.budget}: {text!r} has {tokens} tokens")
        return Composed(text, tokens, ())
