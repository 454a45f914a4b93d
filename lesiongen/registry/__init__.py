"""The registry: what may be released, what is released, since when, and why."""

from lesiongen.records.decision import Decision, Outcome, Reason
from lesiongen.records.history import HistoryCheck, HistoryEvent
from lesiongen.registry.audit import verify_history
from lesiongen.registry.card import ModelCard, model_card
from lesiongen.registry.gates import Gates, decide, load_gates
from lesiongen.registry.promotion import PromotionResult, RollbackResult, promote, rollback
from lesiongen.registry.registration import RegisteredVersion, register
from lesiongen.registry.tags import check_name, history

__all__ = [
    "Decision",
    "Gates",
    "HistoryCheck",
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
    "verify_history",
]
