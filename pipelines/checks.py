"""Check the arguments of a pipeline before anything runs."""

from collections.abc import Mapping
from typing import Any

from lesiongen.captions import CaptionConfig
from lesiongen.config import parse_config
from lesiongen.diffusion import FinetuneConfig, SampleConfig
from lesiongen.evaluation import EvaluateConfig
from lesiongen.ingest import IngestConfig
from lesiongen.registry import Policy, check_name
from lesiongen.validation import ValidateConfig

__all__ = ["check_arguments"]


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Builds every stage's configuration once, so that a wrong one is named before the first step starts.

    Raises:
        UsageError: The name is refused, or a field of a configuration is unknown or refused.
    """
    check_name(arguments["name"])
    parse_config(IngestConfig, {"format": arguments["format"], **arguments["ingest_config"]})
    parse_config(ValidateConfig, arguments["validate_config"])
    parse_config(CaptionConfig, arguments["caption_config"])
    parse_config(FinetuneConfig, arguments["finetune_config"])
    parse_config(SampleConfig, arguments["sample_config"])
    parse_config(EvaluateConfig, arguments["evaluate_config"])
    parse_config(Policy, arguments["policy"])
