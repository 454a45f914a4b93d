"""The facts of a model card: what is known of a registered generator, from the documents that say it."""

from typing import Literal

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.concept_fidelity import ConceptFidelity
from lesiongen.records.decision import Outcome
from lesiongen.records.image_measures import Bounded, Contamination
from lesiongen.records.memorisation import CopySearch
from lesiongen.records.scores import Comparison, Condition

__all__ = ["CardData", "CardDecision", "CardGroup", "CardRecord", "CardScore", "CardTraining"]


class CardData(Record):
    """A dataset that the generator was trained on, or evaluated on; addresses are left out."""

    used_for: Literal["training", "evaluation", "training and evaluation"]
    version: str = ""
    name: str | None = None
    """None where the dataset is no longer there, or has changed; all else of it is unknown then, too."""
    collection: str | None = None
    """Format of the collection that it was read from; None where it was merged, or that is not known."""
    licence: str | None = None
    attribution: str | None = None
    consent: str | None = None
    """What patients have consented to; no document of LesionGen records it."""
    images: dict[str, Count] = {}
    """Number of images by split."""
    merged: dict[str, str | None] = {}
    """Licences of the datasets that it was merged from, by name."""
    notes: Count = None
    """How many notes its manifest has on how it was read; they can name images and files, and stay there."""


class CardTraining(Record):
    """How the generator was trained. None: not recorded."""

    family: str
    method: str
    prediction: str
    image_size: int
    base: str | None = None
    """Hub id or packaged name of the base; None where it is known by its version alone."""
    base_revision: str | None = None
    base_version: str | None = None
    base_trained_on_own_images: bool = False
    images: Count = None
    steps: Count = None
    skipped_steps: Count = None
    batch_size: Count = None
    gradient_accumulation_steps: Count = None
    processes: Count = None
    learning_rate: Number = None
    rank: Count = None
    seed: Count = None
    held_out_loss: Number = None
    seconds: Number = None
    energy_kwh: Number = None
    preset: str | None = None
    libraries: dict[str, str] = {}


class CardScore(Record):
    """Balanced accuracy of the classifiers of one condition on real test images."""

    condition: Condition
    balanced_accuracy: Bounded = Bounded()
    n_seeds: Count = None


class CardGroup(Record):
    """Recall in one group of patients, from real images and from real and synthetic images together."""

    column: str
    group: str
    n: Count = None
    lesions: Count = None
    too_small: bool = False
    named: bool = False
    """Whether it is the group that the evaluation compares as the worst served."""
    real: Bounded = Bounded()
    both: Bounded = Bounded()

    @property
    def recall(self) -> float | None:
        """Recall from both; that from real images where there is no other."""
        return self.real.value if self.both.value is None else self.both.value


class CardDecision(Record):
    """What the gates decided on the version last."""

    outcome: Outcome
    who: str
    when: str
    reasons: tuple[str, ...] = ()


class CardRecord(Record):
    """Content of ``card.json``: each number is one of ``evaluation.json``, ``_model.json`` or the decision."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    aliases: tuple[str, ...] = ()
    licence: str | None = None
    """Licence of the weights, as whoever publishes them states it; None: not stated."""
    model_version: str = ""
    """SHA-256 of ``_model.json``."""
    evaluation_version: str = ""
    """SHA-256 of ``evaluation.json``."""
    evaluated: str = ""
    lesiongen_version: str = ""
    classes: tuple[str, ...] = ()
    training: CardTraining
    data: tuple[CardData, ...] = ()
    test_images: Count = None
    test_lesions: Count = None
    synthetic_images: Count = None
    confidence: Number = None
    """Of the intervals of the classifiers' scores."""
    scores: tuple[CardScore, ...] = ()
    worst_group: str = ""
    """How the worst group was named, or why none is claimed; blank where the evaluation does not say."""
    groups: tuple[CardGroup, ...] = ()
    """The lowest recall first; groups with too few images last."""
    comparisons: tuple[Comparison, ...] = ()
    copies: CopySearch = CopySearch()
    concepts: ConceptFidelity | None = None
    contamination: Contamination | None = None
    evaluation_notes: Count = None
    """How many notes the evaluation's report has; they can name images and addresses, and stay there."""
    decision: CardDecision | None = None
    """None where the gates have not decided."""
