"""The registry: what may be released, what is released, since when, and why."""

from lesiongen.records.decision import Decision, Outcome, Reason
from lesiongen.records.history import HistoryEvent
from lesiongen.registry.card import ModelCard, model_card
from lesiongen.registry.gates import Gates, decide, load_gates
from lesiongen.registry.promotion import PromotionResult, RollbackResult, promote, rollback
from lesiongen.registry.registration import RegisteredVersion, register
from lesiongen.registry.tags import check_name, history

__all__ = [
    "Decision",
    "Gates",
    "HistoryEvent",
    "ModelCard",
    "Outcome",
    "PromotionResult",
    "Reason",
    "RegisteredVersion",
    "RollbackResult",
    "check_name",
    "decide",
    "history",
    "load_gates",
    "model_card",
    "promote",
    "register",
    "rollback",
]
