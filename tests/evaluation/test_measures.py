"""A measure is one file in the folder ``measures``: it is taken, stored, logged and shown; nothing else names it."""

import json
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from lesiongen.evaluation import EvaluateConfig, evaluate, measures
from lesiongen.evaluation.assessment import _entries
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import all_measures
from lesiongen.evaluation.measures.utility import Utility
from lesiongen.records.evaluation import read_evaluation

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "extend.md"
MEASURE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]


def test_the_sections_are_in_one_order() -> None:
    assert [type(each).__name__ for each in all_measures()] == [
        "RecognisedDiagnoses", "Utility", "MalignantDiagnoses", "Controls", "MixingShares",
        "OutsideTestSets", "ReconstructionCeiling", "FurtherClassifiers", "NearCopies", "ConceptsShown",
        "FeatureFidelity", "StatedConfidence", "PropertyDrift",
    ]  # fmt: skip


def test_a_measure_is_one_file(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "measures").mkdir()
    (tmp_path / "measures" / "brightness.py").write_text(MEASURE)
    monkeypatch.setattr(measures, "__path__", [*measures.__path__, str(tmp_path / "measures")])
    config = EvaluateConfig(**small_config.model_dump() | {"n_seeds": 1, "steps": 2, "checks": 1})
    try:
        result = evaluate(config, real, synthetic, str(tmp_path / "out"))
    finally:
        sys.modules.pop("lesiongen.evaluation.measures.brightness", None)
    stored = json.loads((tmp_path / "out" / "evaluation.json").read_text())["further"]["brightness"]["mean_brightness"]
    assert 50 < stored < 250
    assert read_evaluation((tmp_path / "out" / "evaluation.json").read_bytes(), "it").further == {
        "brightness": {"mean_brightness": stored}
    }
    assert result.reference.metrics["mean_brightness"] == stored
    assert "Brightness" in Path(result.report).read_text()


@pytest.mark.parametrize("entry", ["drift", "counts"])
def test_a_measure_returns_only_entries_of_its_own(entry: str) -> None:
    class First(Utility):
        def measure(self, evidence: Evidence) -> dict[str, object]:
            return {"drift": None}

    class Second(Utility):
        def measure(self, evidence: Evidence) -> dict[str, object]:
            return {entry: None}

    with pytest.raises(ValueError, match=f"Second returns the entry {entry}, which is not its own"):
        _entries([First(), Second()], MagicMock(spec=Evidence))
