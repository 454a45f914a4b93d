"""Controls: what synthetic images have to beat before a gain is theirs."""

from collections.abc import Mapping

from lesiongen.evaluation.classifier.conditions import TrainedControl
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.comparisons import paired_difference
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.utility import condition_record, named_group
from lesiongen.evaluation.report.text import bounds_of, with_interval
from lesiongen.records.controls import Control, ControlName
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import Comparison, Condition, WorstGroup
from lesiongen.reporting import Block, Section, Table, Text
from lesiongen.seeds import derive_seed

__all__ = ["Controls"]


class Controls(Measure):
    """Scores of the classifiers of each control, and what sets them apart from ``both`` and from ``real``."""

    place = 22

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``controls``."""
        trained = evidence.primary.controls
        if not trained:
            return {}
        worst = named_group(evidence)
        return {"controls": {name: _control(evidence, name, each, worst) for name, each in trained.items()}}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on the controls; none where there are none."""
        return [Section("Controls", _blocks(evaluation))] if evaluation.controls else []

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the balanced accuracy of each control, and its difference from ``both``."""
        metrics: dict[str, float | None] = {}
        for name, control in evaluation.controls.items():
            plain = name.replace("-", "_")
            metrics[f"balanced_accuracy_control_{plain}"] = control.scores.balanced_accuracy.mean
            metrics[f"difference_both_vs_control_{plain}"] = control.both_vs_control.difference
        return metrics


def _control(evidence: Evidence, name: ControlName, trained: TrainedControl, worst: WorstGroup) -> Control:
    return Control(
        meaning=_meaning(name, evidence.config),
        n_images=trained.n_images,
        n_left_out=trained.n_left_out,
        scores=condition_record(evidence, trained.predictions, worst),
        both_vs_control=_difference(evidence, name, trained, "both"),
        control_vs_real=_difference(evidence, name, trained, "real"),
    )


def _difference(evidence: Evidence, name: ControlName, trained: TrainedControl, condition: Condition) -> Comparison:
    config, material = evidence.config, evidence.material
    other, own = evidence.outcomes[condition].predictions, trained.predictions.predictions
    compared = paired_difference(
        material.test.labels,
        (own, other) if condition == "real" else (other, own),
        len(material.classes),
        evidence.resamples,
        permutations=config.n_permutations,
        seed=derive_seed(config.seed, "permutations", name, condition),
    )
    return compared.changed(name=f"{name} vs real" if condition == "real" else f"{condition} vs {name}")


def _meaning(name: ControlName, config: EvaluateConfig) -> str:
    return {
        "permuted-labels": (
            "The synthetic images, their labels exchanged among them at random: if both beats real images no more than "
            "this does, what the images show of their diagnosis has no part in it."
        ),
        "longer": (
            f"Real images alone with {config.longer_factor:g} times the steps: a gain that more training brings too is "
            "not of the synthetic images."
        ),
        "further-images": "Other real images in the place of the synthetic ones: what is to be gained without drawing.",
        "label-only": (
            "Images drawn from captions that name the diagnosis alone, in the place of the synthetic ones: what both "
            "is better by, the concepts in the captions bring."
        ),
    }[name]


def _blocks(evaluation: EvaluationRecord) -> list[Block]:
    text = (
        "What else could explain a gain from synthetic images is trained with the same settings, and the same protocol "
        "in their place. The comparisons are outside the declared family: their p-values are not corrected, none is "
        "called significant, and no control is ever the best condition. That real images alone take as many steps is "
        "the condition real already."
    )
    scores = [
        (
            name,
            control.n_images,
            control.n_left_out,
            with_interval(control.scores.balanced_accuracy.mean, control.scores.balanced_accuracy),
            control.scores.balanced_accuracy.spread,
        )
        for name, control in evaluation.controls.items()
    ]
    differences = [
        (entry.name, entry.difference, bounds_of(entry), entry.spread, entry.p_value)
        for control in evaluation.controls.values()
        for entry in (control.both_vs_control, control.control_vs_real)
    ]
    meanings = [f"{name}: {control.meaning}" for name, control in evaluation.controls.items()]
    return [
        Text(text),
        Table(
            ("control", "images in place of synthetic ones", "left out", "balanced accuracy", "spread over seeds"),
            scores,
            "Tested on the real test images",
        ),
        Table(
            ("comparison", "difference", "interval", "spread over seeds", "p (not corrected)"),
            differences,
            "Differences in balanced accuracy, paired over test lesions",
        ),
        Text("\n\n".join(meanings)),
    ]
