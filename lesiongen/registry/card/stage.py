"""Making the card of a registered version, and saving it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lesiongen.errors import UsageError
from lesiongen.mlflow_server import mlflow_client
from lesiongen.records.card import CardRecord
from lesiongen.records.concept_fidelity import ConceptFidelity
from lesiongen.records.history import HistoryEvent
from lesiongen.registry.card.facts import HUB_ID, card_data, card_groups, card_scores, card_training, last_decision
from lesiongen.registry.card.header import header
from lesiongen.registry.card.page import build_page
from lesiongen.registry.documents import contamination_of, evaluation_of, model_of
from lesiongen.registry.tags import (
    CHALLENGER,
    CHAMPION,
    EVALUATION_VERSION_TAG,
    MODEL_VERSION_TAG,
    check_name,
    found,
    history,
    version_of,
)
from lesiongen.reporting import render, render_markdown
from lesiongen.storage import open_storage
from lesiongen.tracking import StageRun

__all__ = ["CARD_FOLDER", "ModelCard", "card_of_version", "model_card"]

CARD_FOLDER = "card"
MARKDOWN_FILE, PAGE_FILE, FACTS_FILE = "README.md", "card.html", "card.json"


@dataclass(frozen=True)
class ModelCard:
    """A model card: the facts, and the two forms in which people read them."""

    facts: CardRecord

    @cached_property
    def markdown(self) -> str:
        """The card as ``README.md`` of a model repository, with the metadata of Hugging Face at its head."""
        return f"---\n{header(self.facts)}\n---\n\n{render_markdown(build_page(self.facts))}"

    @cached_property
    def html(self) -> str:
        """The card as one page that loads nothing."""
        return render(build_page(self.facts))

    def save(self, folder: str) -> list[str]:
        """Writes ``README.md``, ``card.html`` and ``card.json``, and returns their addresses.

        Args:
            folder: A folder or an s3:// prefix.
        """
        storage = open_storage(folder)
        storage.write_text(MARKDOWN_FILE, self.markdown)
        storage.write_text(PAGE_FILE, self.html)
        storage.write_json(FACTS_FILE, self.facts.model_dump(mode="json"))
        return [f"{storage.uri}/{name}" for name in (MARKDOWN_FILE, PAGE_FILE, FACTS_FILE)]

    def log(self, run: StageRun) -> None:
        """Logs the same files as artifacts of an MLflow run, in the folder ``card``."""
        run.log_text(self.markdown, f"{CARD_FOLDER}/{MARKDOWN_FILE}")
        run.log_text(self.html, f"{CARD_FOLDER}/{PAGE_FILE}")
        run.log_json(self.facts.model_dump(mode="json"), f"{CARD_FOLDER}/{FACTS_FILE}")


def model_card(name: str, version: str | None = None, *, licence: str | None = None) -> ModelCard:
    """Returns the card of a registered version.

    Args:
        name: Name of the registered model.
        version: Version, or alias; the champion where none is given, or else the challenger.
        licence: Licence of the weights, as Hugging Face names it (``cc-by-nc-4.0``); unknown where none is given.

    Raises:
        UsageError: The model or the version is unknown.
        DataError: The model or the evaluation is not the one that was registered.
        StorageError: One of them is no longer there.
        ServiceError: The MLflow server does not answer.
    """
    events = history(check_name(name))
    client = mlflow_client()
    return card_of_version(_chosen(client, name, version), events, licence=licence)


def card_of_version(version: Any, events: list[HistoryEvent], *, licence: str | None = None) -> ModelCard:
    """Returns the card of a version as MLflow holds it, with the history of its model."""
    model, evaluation = model_of(version.tags), evaluation_of(version.tags)
    data = card_data(model, evaluation)
    confidence = evaluation.config.get("confidence")
    facts = CardRecord(
        name=version.name,
        version=str(version.version),
        aliases=tuple(sorted(version.aliases)),
        licence=licence,
        model_version=version.tags[MODEL_VERSION_TAG],
        evaluation_version=version.tags[EVALUATION_VERSION_TAG],
        evaluated=evaluation.created,
        lesiongen_version=evaluation.lesiongen_version,
        classes=evaluation.classes,
        training=card_training(model, data),
        data=data,
        test_images=evaluation.counts.test.n,
        test_lesions=evaluation.counts.test_lesions,
        synthetic_images=evaluation.counts.synthetic.n,
        confidence=confidence if isinstance(confidence, float) else None,
        scores=card_scores(evaluation),
        worst_group=evaluation.worst_group.explanation,
        groups=card_groups(evaluation),
        comparisons=evaluation.comparisons,
        copies=evaluation.memorisation.search,
        concepts=_public(evaluation.concept_fidelity),
        contamination=contamination_of(version.tags),
        evaluation_notes=len(evaluation.notes),
        decision=last_decision(events, str(version.version)),
    )
    return ModelCard(facts)


def _public(concepts: ConceptFidelity | None) -> ConceptFidelity | None:
    """Returns concept fidelity without the address of its scorer, where that is not a model of the hub."""
    if concepts is None or HUB_ID.fullmatch(concepts.scorer.removeprefix("hub:").partition("@")[0]):
        return concepts
    return concepts.changed(scorer="", scorer_source=None)


def _chosen(client: Any, name: str, version: str | None) -> Any:
    if version is None:
        version = version_of(client, name, CHAMPION) or version_of(client, name, CHALLENGER)
        if version is None:
            raise UsageError(f"{name} has neither a champion nor a challenger.", hint="Name a version: --version 1")
    elif not version.isdigit():
        alias, version = version, version_of(client, name, version)
        if version is None:
            hint = f"Name a version, or an alias that is there: lesiongen history {name}"
            raise UsageError(f"{name} has no version {alias!r}.", hint=hint)
    chosen = found(lambda: client.get_model_version(name, version))
    if chosen is None:
        raise UsageError(f"{name} has no version {version}.", hint=f"See lesiongen history {name}")
    return chosen
