"""The metadata by which Hugging Face lists, filters and compares a model."""

from lesiongen.records.card import CardRecord
from lesiongen.registry.card.facts import HUB_ID

__all__ = ["header"]

TAGS = ("diffusers", "text-to-image", "dermatology", "skin-lesions", "synthetic-data", "lesiongen")


def header(card: CardRecord) -> str:
    """Returns the YAML of the metadata, without its delimiters.

    A licence that nobody has stated is ``unknown``. Base and datasets are named where they are on the hub.
    """
    from huggingface_hub import EvalResult, ModelCardData

    training = card.training
    adapted = ("lora",) if training.method == "lora" else ()
    results = [
        EvalResult(
            task_type="image-classification",
            task_name=f"Classifiers trained on {score.condition} images, tested on real images",
            dataset_type=_tested_on(card),
            dataset_name=_tested_on(card),
            dataset_split="test",
            metric_type="balanced_accuracy",
            metric_name=f"balanced accuracy, trained on {score.condition}",
            metric_value=score.balanced_accuracy.value,
            metric_args={"interval": [score.balanced_accuracy.low, score.balanced_accuracy.high]},
        )
        for score in card.scores
        if score.balanced_accuracy.value is not None
    ]
    data = ModelCardData(
        language="en",
        license=card.licence or "unknown",
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=[*TAGS, training.family, *adapted],
        model_name=card.name,
        eval_results=results or None,
        base_model=training.base if training.base and HUB_ID.fullmatch(training.base) else None,
        datasets=_datasets(card) or None,
    )
    return str(data.to_yaml())


def _datasets(card: CardRecord) -> list[str]:
    names = [name for data in card.data if data.used_for != "evaluation" for name in (data.merged or [data.name])]
    return [name for name in names if name and HUB_ID.fullmatch(name)]


def _tested_on(card: CardRecord) -> str:
    tested = next((data for data in card.data if data.used_for != "training"), None)
    return (tested.name if tested else None) or "unknown"
