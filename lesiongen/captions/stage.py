"""Fills the reports and captions of a dataset."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from lesiongen.captions.config import CaptionConfig
from lesiongen.captions.preview import Shown, preview_page
from lesiongen.captions.result import CaptionResult, Tally
from lesiongen.captions.stacking import stack_reports
from lesiongen.captions.tokenizers import load_tokenizer, token_budget
from lesiongen.captions.writers import WRITERS, Written
from lesiongen.concepts import Composed, Report, Tokenizer, compose, count_tokens, label_only
from lesiongen.dataset import Dataset, Sample, derive, is_synthetic
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import decode
from lesiongen.progress import Progress, progress
from lesiongen.reporting import render
from lesiongen.seeds import derive_seed
from lesiongen.storage import open_storage
from lesiongen.tracking import stage_run

__all__ = ["PREVIEW_NAME", "REPORT_NAME", "caption"]

REPORT_NAME = "caption_report.json"
PREVIEW_NAME = "caption_preview.html"


def caption(config: CaptionConfig, dataset_uri: str, output: str) -> CaptionResult:
    """Writes the report and the caption of every image.

    The columns ``concepts``, ``caption`` and ``measured_tone`` are filled; everything else, ``skin_tone`` above all,
    stays as it is. ``caption_report.json`` is written beside the new dataset.

    Args:
        config: Writers, tokenizer and wording.
        dataset_uri: The dataset to caption.
        output: New folder or prefix for the captioned dataset.

    Raises:
        UsageError: The tokenizer cannot be loaded, or the budget is too small for a diagnosis.
        DataError: An image cannot be decoded, or a report in the dataset is no report; the image is named.
    """
    dataset = Dataset.open(dataset_uri)
    with stage_run("caption", {**config.model_dump(), "dataset": dataset.uri}) as run:
        tokenizer = load_tokenizer(config.tokenizer)
        captioner = _Captioner(
            config, tokenizer, token_budget(tokenizer, config.max_tokens), _previewed(config, dataset)
        )
        with progress("Captioning", total=len(dataset), unit="images") as bar:
            captioner.bar = bar
            captioned = derive(
                dataset,
                output,
                partial(map, captioner.transform),
                name=config.name,
                origin={"stage": "caption", "config": config.model_dump(mode="json")},
            )
        summary = captioner.tally.summary(captioner.budget)
        storage = open_storage(output)
        storage.write_json(REPORT_NAME, summary)
        run.log_json(summary, REPORT_NAME)
        run.log_metrics({"caption_tokens_mean": summary["tokens"]["mean"], "images": len(captioned)})
        preview = None
        if captioner.shown:
            storage.write_text(PREVIEW_NAME, render(preview_page(config.name, captioner.shown)))
            preview = f"{storage.uri}/{PREVIEW_NAME}"
    return CaptionResult(dataset=captioned.reference(), preview=preview, **summary)


def _previewed(config: CaptionConfig, dataset: Dataset) -> frozenset[str]:
    """Chooses images for the preview, the classes in turn."""
    if config.preview == 0:
        return frozenset()
    table = dataset.metadata(["image_id", "diagnosis", "provenance"])
    if not config.allow_real_images:
        table = table[table["provenance"].map(is_synthetic).astype(bool)]
    table = table.assign(draw=[derive_seed(config.seed, "preview", image_id) for image_id in table["image_id"]])
    table = table.sort_values("draw", kind="stable")
    table["turn"] = table.groupby("diagnosis").cumcount()
    return frozenset(table.sort_values("turn", kind="stable")["image_id"].head(config.preview))


@dataclass
class _Captioner:
    config: CaptionConfig
    tokenizer: Tokenizer
    budget: int
    previewed: frozenset[str]
    bar: Progress | None = None
    tally: Tally = field(default_factory=Tally)
    shown: list[Shown] = field(default_factory=list)

    def transform(self, sample: Sample) -> Sample:
        try:
            image = decode(sample.image)
            written = [WRITERS[name](sample, image) for name in WRITERS if name in self.config.writers]
        except DataError as error:
            raise DataError(f"image_id = {sample.image_id}: {error}") from error
        report, contradicted = stack_reports([part.report for part in written])
        composed = self._compose(sample, report)
        self.tally.add(report, composed)
        self.tally.contradictions.update(contradicted)
        measured = self._measurement(written)
        if sample.image_id in self.previewed:
            self.shown.append(Shown(sample, image, report, composed, measured.measurement))
        if self.bar is not None:
            self.bar.advance()
        tone = measured.measurement.tone if measured.measurement else sample.measured_tone
        return replace(sample, concepts=report.to_text(), caption=composed.text, measured_tone=tone)

    def _compose(self, sample: Sample, report: Report) -> Composed:
        if not self.config.label_only:
            rng = np.random.default_rng(derive_seed(self.config.seed, "caption", sample.image_id))
            return compose(report, sample.diagnosis, self.tokenizer, self.budget, rng)
        text = label_only(sample.diagnosis)
        tokens = count_tokens(self.tokenizer, text)
        if tokens > self.budget:
            raise UsageError(f"max_tokens = {self.budget}: {text!r} has {tokens} tokens")
        return Composed(text, tokens, ())

    def _measurement(self, written: list[Written]) -> Written:
        for part in written:
            if part.measurement is not None:
                self.tally.not_measurable.update(part.not_measurable.keys())
                return part
        return Written(Report())
