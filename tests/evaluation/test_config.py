"""What the configuration declares before the run is checked when it is made."""

import pytest

from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from lesiongen.evaluation import EvaluateConfig


def test_the_family_stands_in_the_configuration() -> None:
    assert EvaluateConfig().model_dump(mode="json")["family"] == [
        "both vs real",
        "synthetic vs real",
        "both vs real, worst group",
    ]
    assert EvaluateConfig(worst_group=" sex = female ").worst_group == "sex=female"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"worst_group": "female"},
            "worst_group = 'female': must be column=group, such as sex=female; columns are sex,",
        ),
        ({"worst_group": "eyes=blue"}, "worst_group = 'eyes=blue': must be column=group"),
        ({"worst_group": "sex="}, "must be column=group"),
        ({"family": ["both vs nothing"]}, "must be 'A vs B' or 'A vs B, worst group', A and B two of real, synthetic"),
        ({"family": ["real vs real"]}, "found 'real vs real'"),
        ({"family": ["reconstruction vs real"]}, "two of real, synthetic, both; found 'reconstruction vs real'"),
        ({"family": ["both vs real", "both vs real"]}, "must not name a comparison twice"),
        ({"family": []}, "family"),
        ({"intersections": [["sex", "sex"]]}, "must be pairs of two columns; found sex twice"),
        ({"intersections": [["sex", "eyes"]]}, "intersections"),
        ({"min_worst_group": 0}, "min_worst_group"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_config(EvaluateConfig, values)
    assert message in str(refused.value)
