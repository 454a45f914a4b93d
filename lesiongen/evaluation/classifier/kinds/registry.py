"""The classifiers by the name that a user gives them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from lesiongen.errors import UsageError
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind
from lesiongen.evaluation.classifier.kinds.lite0 import check_lite0, opened_lite0
from lesiongen.evaluation.classifier.kinds.pretrained import check_address, opened_pretrained, opened_resnet18
from lesiongen.evaluation.classifier.kinds.small import opened_small
from lesiongen.evaluation.config import EvaluateConfig

__all__ = ["KINDS", "check_classifier", "opened_kind"]

KINDS: Mapping[str, Callable[[EvaluateConfig], AbstractContextManager[ClassifierKind]]] = {
    "small": opened_small,
    "resnet18": opened_resnet18,
    "lite0": opened_lite0,
}
"""The kinds that have a name; any other name is the address of a transformers image classifier."""


def check_classifier(name: str) -> None:
    """Checks what can be checked of a classifier before anything is fetched.

    Raises:
        UsageError: The classifier is unknown, or an extra that it needs is not installed.
    """
    if name == "lite0":
        check_lite0()
    elif name not in KINDS:
        check_address(name, KINDS)


@contextmanager
def opened_kind(name: str, config: EvaluateConfig) -> Iterator[ClassifierKind]:
    """Gives the classifier of a name; what is fetched from S3 for it is removed at the end.

    Raises:
        UsageError: The classifier is unknown, an extra that it needs is not installed, or it cannot carry the
            protocol or a control.
        DataError: Its files are damaged.
        StorageError: It cannot be fetched.
    """
    opened = KINDS[name](config) if name in KINDS else opened_pretrained(name, config)
    with opened as kind:
        if obstacle := kind.obstacle(config):
            raise UsageError(f"classifier {name!r}: {obstacle}", hint="Choose otherwise, or another classifier.")
        yield kind
