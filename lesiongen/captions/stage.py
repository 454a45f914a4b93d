"""The caption stage: fills the reports and captions of a dataset, whole or in parts."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pandas as pd
from PIL import Image
from pydantic import ValidationError

from lesiongen.captions.captioner import Captioner
from lesiongen.captions.config import CaptionConfig, WriterName
from lesiongen.captions.describing import described, work_key
from lesiongen.captions.journal import Journal
from lesiongen.captions.preview import Shown, outlined, preview_page
from lesiongen.captions.report import caption_page, worst_images
from lesiongen.captions.result import CaptionCounts, CaptionResult
from lesiongen.captions.writers import Writer
from lesiongen.concepts import label_only, measure, read_report
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, Part, Sample, derive, join_parts
from lesiongen.dataset.derived import derived_origin
from lesiongen.dataset.writer import is_published
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import decode
from lesiongen.interruption import kept_when_interrupted
from lesiongen.names import captioned_name
from lesiongen.progress import progress
from lesiongen.records.origin import CaptionOrigin
from lesiongen.records.provenance import is_synthetic
from lesiongen.reporting import render
from lesiongen.seeds import derive_seed
from lesiongen.storage import as_json, claimed, open_storage
from lesiongen.tracking import StageRun, stage_run

__all__ = ["PAGE_NAME", "PREVIEW_NAME", "REPORT_NAME", "caption", "join_captions"]

REPORT_NAME = "caption_report.json"
PAGE_NAME = "caption_report.html"
PREVIEW_NAME = "caption_preview.html"
EXAMPLES = 12
"""Captions that the page shows, whatever was found."""
WORST_CASE_SIDE = 192
WORK_FOLDER = "_work"


def caption(
    config: CaptionConfig, dataset_uri: str, output: str, *, part: Part | None = None, work: str | None = None
) -> CaptionResult:
    """Writes the report and the caption of every image.

    The columns ``concepts``, ``caption`` and ``measured_tone`` are filled; everything else, ``skin_tone`` above all,
    stays as it is. ``caption_report.json`` and the same as a page are written beside the new dataset. What the writers
    state is kept as it comes: a job that was killed and is started again measures and asks only for what is missing.

    Args:
        config: Writers, tokenizer and wording.
        dataset_uri: The dataset to caption.
        output: New folder or prefix for the captioned dataset.
        part: Only this part of the rows; `join_captions` makes one dataset of the parts.
        work: Folder or prefix that keeps unfinished work; by default within ``output``. Where every attempt has an
            output of its own, name a place that stays.

    Raises:
        UsageError: The tokenizer cannot be loaded, or the budget is too small for a diagnosis.
        DataError: An image cannot be decoded, or a report in the dataset is not a report; the image is named.
        Interrupted: SIGTERM or Ctrl-C came; what the writers have stated is kept.
    """
    dataset = Dataset.open(dataset_uri)
    rows = part.rows(len(dataset)) if part else range(len(dataset))
    which = {"part": str(part)} if part else {}
    name = config.name or captioned_name(dataset.manifest.name)
    origin = CaptionOrigin(stage="caption", config=config.model_dump(mode="json"), **which, **derived_origin(dataset))
    params = {**config.model_dump(), "name": name, "dataset": dataset.uri, **which}
    target = open_storage(output)
    with claimed(target) as claim, stage_run("caption", params) as run:
        place = open_storage(work) if work else target.child(WORK_FOLDER)
        journal = Journal(place, work_key(config, dataset.manifest.version))
        if not (claim.taken_over and is_published(target, origin)):
            with kept_when_interrupted(lambda: _kept(journal, rows, place.uri)):
                _publish(config, dataset, output, rows, journal, name, origin)
        result = _report(run, Dataset.open(output))
        journal.clear(rows)
        if not work:
            place.delete_all()  # what attempts of another configuration have left too
        return result


def _publish(
    config: CaptionConfig,
    dataset: Dataset,
    output: str,
    rows: range,
    journal: Journal,
    name: str,
    origin: CaptionOrigin,
) -> None:
    captioner = Captioner(config)
    writers = _asked(config, dataset, rows)

    def transform(samples: Iterator[Sample]) -> Iterator[Sample]:
        with progress("Captioning", total=len(rows), unit="images") as bar:
            for sample, stated in described(config.writers, samples, rows, journal, writers):
                yield captioner.captioned(sample, stated)
                bar.advance()

    documents = partial(_documents, captioner, captioner.counts)
    derive(dataset, output, transform, name=name, origin=origin, rows=rows, documents=documents)


def join_captions(parts: Sequence[str], output: str) -> CaptionResult:
    """Publishes the parts of a captioned dataset as the dataset that one job would have written.

    Args:
        parts: Every part once, in any order.
        output: New folder or prefix.

    Raises:
        UsageError: A part is missing or given twice, the parts are not of one job, or one of the addresses holds no
            dataset.
    """
    datasets = [Dataset.open(part) for part in parts]
    target = open_storage(output)
    with claimed(target) as claim, stage_run("caption", {"parts": list(parts)}) as run:
        name, origin = datasets[0].manifest.name, _caption_origin(datasets[0])
        if not (claim.taken_over and is_published(target, origin.whole())):
            config = parse_config(CaptionConfig, origin.config)
            first, *others = (_counts(dataset) for dataset in datasets)
            documents = partial(_documents, Captioner(config), sum(others, first))
            join_parts(datasets, output, name=name, documents=documents)
        return _report(run, Dataset.open(output))


def _caption_origin(part: Dataset) -> CaptionOrigin:
    if isinstance(part.manifest.origin, CaptionOrigin):
        return part.manifest.origin
    raise UsageError(f"{part.uri} is not a captioned dataset", hint="Give the parts that caption has written.")


def _kept(journal: Journal, rows: range, place: str) -> str:
    return f"what was seen in {journal.count(rows):,} of {len(rows):,} images is kept in {place}"


def _asked(config: CaptionConfig, dataset: Dataset, rows: range) -> Mapping[WriterName, Writer]:
    """The writer that asks a model, which may be a large one: it is not copied into every process."""
    if config.vision_language is None:
        return {}
    from lesiongen.captions.vision_language.permission import refuse_uploads
    from lesiongen.captions.vision_language.writer import VisionLanguageWriter

    origins = dataset.metadata(["source", "provenance"]).iloc[rows.start : rows.stop]
    refuse_uploads(origins.itertuples(index=False, name=None), config.vision_language)
    return {"vision-language": VisionLanguageWriter(config.vision_language)}


def _documents(captioner: Captioner, counts: CaptionCounts, captioned: Dataset) -> dict[str, str | None]:
    """Makes the report, its page and the preview of a dataset that is about to be published."""
    allowed = captioner.config.allow_real_images
    images = _outlined(captioned, worst_images(counts), allow_real_images=allowed)
    name, shown = captioned.manifest.name, _shown(captioner, captioned)
    examples = _examples(captioner.config, captioned)
    return {
        REPORT_NAME: as_json(counts.model_dump(mode="json")),
        PAGE_NAME: render(caption_page(name, counts, images, examples, with_ids=allowed)),
        PREVIEW_NAME: render(preview_page(name, shown, captioner.budget)) if shown else None,
    }


def _counts(captioned: Dataset) -> CaptionCounts:
    content = open_storage(captioned.uri).read_json(REPORT_NAME)
    try:
        return CaptionCounts.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise DataError(
            f"{captioned.uri}/{REPORT_NAME} is damaged: {where}: {first['msg']}",
            hint="Copy the captioned dataset again from where it is whole, or caption it again.",
        ) from error


def _report(run: StageRun, captioned: Dataset) -> CaptionResult:
    """Reports what is published, by this call or by one that was killed before it could."""
    storage, counts = open_storage(captioned.uri), _counts(captioned)
    run.log_json(counts.model_dump(mode="json"), REPORT_NAME)
    run.log_metrics({"caption_tokens_mean": counts.mean_tokens, "images": counts.images})
    run.log_text(storage.read_text(PAGE_NAME), PAGE_NAME)
    preview = f"{storage.uri}/{PREVIEW_NAME}" if storage.exists(PREVIEW_NAME) else None
    return CaptionResult(captioned.reference(), counts, f"{storage.uri}/{PAGE_NAME}", preview)


def _outlined(captioned: Dataset, names: Sequence[str], *, allow_real_images: bool) -> dict[str, Image.Image]:
    """Draws the lesion's outline on the images that may be shown."""
    samples = captioned.pick(list(names)) if names else ()
    allowed = (sample for sample in samples if allow_real_images or is_synthetic(sample.provenance))
    decoded = ((sample.image_id, decode(sample.image)) for sample in allowed)
    return {image_id: outlined(image, measure(image), WORST_CASE_SIDE) for image_id, image in decoded}


def _shown(captioner: Captioner, captioned: Dataset) -> list[Shown]:
    """Looks again at the images of the preview: the same report and seed give the same caption."""
    shown = []
    for sample in captioned.pick(_previewed(captioner.config, captioned)):
        image, report = decode(sample.image), read_report(sample.concepts)
        composed = captioner.compose(sample, report, label_alone=sample.caption == label_only(sample.diagnosis))
        shown.append(Shown(sample, image, report, composed, measure(image)))
    return shown


def _previewed(config: CaptionConfig, dataset: Dataset) -> list[str]:
    """Chooses images for the preview."""
    if config.preview == 0:
        return []
    table = dataset.metadata(["image_id", "diagnosis", "provenance"])
    if not config.allow_real_images:
        table = table[table["provenance"].map(is_synthetic).astype(bool)]
    return list(_in_turn(config, table, config.preview)["image_id"])


def _examples(config: CaptionConfig, dataset: Dataset) -> list[list[str]]:
    """Chooses captions for the page; of the images of a preview its first ones."""
    table = _in_turn(config, dataset.metadata(["image_id", "diagnosis", "caption"]), EXAMPLES)
    return [[str(cell) for cell in row] for row in table.itertuples(index=False)]


def _in_turn(config: CaptionConfig, table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Draws rows by the seed, the classes in turn."""
    table = table.assign(draw=[derive_seed(config.seed, "preview", image_id) for image_id in table["image_id"]])
    table = table.sort_values("draw", kind="stable")
    turn = table.groupby("diagnosis").cumcount()
    return table.loc[turn.sort_values(kind="stable").index].drop(columns="draw").head(count)
