"""The model card of a registered generator: Markdown for Hugging Face, HTML, and the facts that both show."""

from lesiongen.registry.card.stage import CARD_FOLDER, ModelCard, card_of_version, model_card

__all__ = ["CARD_FOLDER", "ModelCard", "card_of_version", "model_card"]
