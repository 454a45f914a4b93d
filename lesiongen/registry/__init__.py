"""The registry: what may be released, what is released, since when, and why."""

from lesiongen.registry.gates import Decision, Outcome, Policy, Reason, decide, load_policy
from lesiongen.registry.promotion import PromotionResult, RollbackResult, promote, rollback
from lesiongen.registry.records import HistoryEvent, check_name, history
from lesiongen.registry.registration import RegisteredVersion, register

__all__ = [
    "Decision",
    "HistoryEvent",
    "Outcome",
    "Policy",
    "PromotionResult",
    "Reason",
    "RegisteredVersion",
    "RollbackResult",
    "check_name",
    "decide",
    "history",
    "load_policy",
    "promote",
    "register",
    "rollback",
]
