"""The card as a page: what the generator is for, what it must not be used for, and what is known of it."""

from lesiongen.records.card import CardData, CardDecision, CardRecord
from lesiongen.records.decision import Outcome
from lesiongen.records.text import number
from lesiongen.registry.card.facts import HUB_ID
from lesiongen.registry.card.results import concept_blocks, copy_blocks, group_blocks, result_blocks
from lesiongen.reporting import Block, Callout, Page, Section, Table, Text

__all__ = ["build_page"]

UNKNOWN, NOT_RECORDED = "unknown", "not recorded"
INTENDED_USE = (
    "The generator draws skin lesions from captions. Its images are for research: for the training of classifiers "
    "beside real images, and for the study of such training. Whoever trains with them tests on real images."
)
NO_DIAGNOSIS = (
    "It must not be used for diagnosis, nor to advise patients, nor to choose or withhold a treatment. Its images are "
    "not evidence about any patient."
)
MUST_NOT = (
    "Its images must not be shown as photographs of patients. LesionGen marks those that it draws as synthetic: the "
    "mark must stay. Whoever draws with other software marks them.",
    "Its images must not be test images, nor the only images of people who are rare in the data.",
    "It must not be used to find out who was among the patients of the training images.",
)


def build_page(card: CardRecord) -> Page:
    """Builds the page of a card, which also is its Markdown."""
    aliases = f" ({', '.join(card.aliases)})" if card.aliases else ""
    page = Page(
        f"{card.name}, version {card.version}",
        f"Model card of a text-to-image generator of skin lesions{aliases}. Made by LesionGen from the documents of "
        "its training, evaluation and release; what they do not say is named as unknown.",
    )
    sections: dict[str, list[Block]] = {
        "Intended use": [Text(INTENDED_USE)],
        "What it must not be used for": [Callout("warning", NO_DIAGNOSIS), *(Text(text) for text in MUST_NOT)],
        "Data": _data(card),
        "Training": _training(card),
        "Results": result_blocks(card),
        "Groups of patients, worst first": group_blocks(card),
        "Memorisation": [*copy_blocks(card.copies), *_seen(card)],
        "Concept fidelity": concept_blocks(card.concepts),
        "Limits": _limits(card),
        "Decision": _decision(card.decision),
        "How to cite": [Text(_citation(card))],
    }
    for title, blocks in sections.items():
        page.add(Section(title, blocks))
    return page


def _data(card: CardRecord) -> list[Block]:
    if not card.data:
        return [Callout("warning", "What the generator was trained on is not known.")]
    return [block for data in card.data for block in _dataset(data)]


def _dataset(data: CardData) -> list[Block]:
    if data.name is None:
        gone = "It is no longer there, or has changed: its licence, source and size are unknown."
        return [Callout("warning", f"Dataset for {data.used_for}, version {data.version[:12] or UNKNOWN}. {gone}")]
    rows = [
        ("used for", data.used_for),
        ("version", data.version[:12]),
        ("collection", data.collection or ("several, merged" if data.merged else UNKNOWN)),
        ("licence", data.licence or UNKNOWN),
        ("attribution", data.attribution or UNKNOWN),
        ("consent of the patients", data.consent or NOT_RECORDED),
        *((f"images, {split}", n) for split, n in data.images.items()),
    ]
    merged = [(name, licence or UNKNOWN) for name, licence in data.merged.items()]
    blocks: list[Block] = [Table(("dataset", data.name), rows)]
    if merged:
        blocks.append(Table(("merged from", "licence"), merged))
    if data.notes:
        blocks.append(Text(f"Notes on how it was read, in the dataset's manifest: {data.notes}."))
    return blocks


def _training(card: CardRecord) -> list[Block]:
    training = card.training
    known = {
        "method": {"lora": "LoRA", "full": "all weights of the denoiser", "base": "a base model"}.get(training.method),
        "family": training.family,
        "base model": _base(card),
        "licence of the base model": NOT_RECORDED,
        "training images": training.images,
        "steps": training.steps,
        "skipped steps": training.skipped_steps,
        "images a step, per process": training.batch_size,
        "gradient accumulation steps": training.gradient_accumulation_steps,
        "processes": training.processes,
        "learning rate": None if training.learning_rate is None else f"{training.learning_rate:g}",
        "rank of LoRA": training.rank if training.method == "lora" else "none",
        "image size in pixels": training.image_size,
        "prediction": training.prediction,
        "seed": training.seed,
        "held-out loss": number(training.held_out_loss, ".4g"),
        "time in seconds": training.seconds,
        "energy in kWh": training.energy_kwh,
        "preset": training.preset,
        "version of the model": card.model_version[:12] or UNKNOWN,
    }
    recorded = ("time in seconds", "energy in kWh")
    rows = [
        (name, (NOT_RECORDED if name in recorded else UNKNOWN) if value is None else value)
        for name, value in known.items()
    ]
    libraries = [Table(("library", "version"), list(training.libraries.items()))] if training.libraries else []
    return [Table(("training", "value"), rows), *libraries]


def _base(card: CardRecord) -> str:
    training = card.training
    if training.base_trained_on_own_images:
        return "none: trained from random weights on the training images"
    if training.base_version is None:
        return UNKNOWN if training.method != "base" else "none"
    name = training.base or "a model without a public name"
    revision = f", revision {training.base_revision[:12]}" if training.base_revision else ""
    return f"{name}{revision}, version {training.base_version[:12]}"


def _seen(card: CardRecord) -> list[Block]:
    found = card.contamination
    if found is None or found.validation is None or found.test is None:
        return [Text("How many images of the validation and test splits the generator was trained on is unknown.")]
    told = f"The generator was trained on {found.validation} validation and {found.test} test images of the evaluation."
    if card.training.base and HUB_ID.fullmatch(card.training.base):
        told += f" What its base, {card.training.base}, was trained on is not recorded and not counted."
    return [Text(told)]


def _limits(card: CardRecord) -> list[Block]:
    tested = next((data for data in card.data if data.used_for != "training"), None)
    few = sum(group.too_small for group in card.groups)
    classes = ", ".join(card.classes) or UNKNOWN
    limits = [
        f"The diagnoses of the evaluation: {classes}. Nothing is known of others.",
        f"The test images are of one dataset: {(tested.name if tested else None) or UNKNOWN}. Other cameras, clinics "
        "and populations were not part of these numbers.",
        f"{few} of {len(card.groups)} recorded groups of patients have too few test images for a statement.",
        "The search for near copies finds those that its descriptors see; a copy can be missed.",
        "A caption states what was measured or recorded. Images follow it as far as concept fidelity says.",
    ]
    if card.evaluation_notes:
        limits.append(f"Notes on the evaluation, in its report: {card.evaluation_notes}.")
    return [Text(limit) for limit in limits]


def _decision(decision: CardDecision | None) -> list[Block]:
    if decision is None:
        return [Callout("warning", "The gates have not decided on this version. It is not released.")]
    told = f"{decision.outcome.value}, decided by {decision.who} on {decision.when}."
    reasons = [tuple(reason.partition(": ")[::2]) for reason in decision.reasons]
    blocks: list[Block] = [Callout("good" if decision.outcome is Outcome.PROMOTE else "warning", told)]
    return [*blocks, Table(("gate", "reason"), reasons)] if reasons else [*blocks, Text("No reasons were recorded.")]


def _citation(card: CardRecord) -> str:
    made = f", evaluated on {card.evaluated}" if card.evaluated else ""
    by = f" LesionGen {card.lesiongen_version}" if card.lesiongen_version else " LesionGen"
    credit = [data.attribution for data in card.data if data.attribution]
    sources = f"\n\nCite the data, too: {'; '.join(dict.fromkeys(credit))}" if credit else ""
    return (
        f"{card.name}, version {card.version} (model {card.model_version[:12] or UNKNOWN}, evaluation "
        f"{card.evaluation_version[:12] or UNKNOWN}){made}. Text-to-image generator of skin lesions, made with{by}."
        f"{sources}"
    )
