"""Check the arguments of a pipeline before anything runs."""

from collections.abc import Mapping
from typing import Any

from lesiongen.captions import CaptionConfig
from lesiongen.config import parse_config
from lesiongen.diffusion import TINY_BASE, FinetuneConfig, SampleConfig
from lesiongen.errors import UsageError
from lesiongen.evaluation import EvaluateConfig
from lesiongen.ingest import IngestConfig
from lesiongen.model_files import check_model_name
from lesiongen.registry import Policy, check_name
from lesiongen.storage import open_storage
from lesiongen.validation import ValidateConfig

__all__ = ["check_arguments"]


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Builds every stage's configuration as its step does, so that a wrong one is named before the first step starts.

    Raises:
        UsageError: The name, the root or the place of a model is refused, or a field of a configuration is unknown or
            refused.
    """
    name = arguments["name"]
    check_name(name)
    open_storage(arguments["root"])
    parse_config(IngestConfig, {"format": arguments["format"], "name": name, **arguments["ingest_config"]})
    parse_config(ValidateConfig, arguments["validate_config"])
    captioning = parse_config(CaptionConfig, {"name": f"{name}-captioned", **arguments["caption_config"]})
    training = parse_config(FinetuneConfig, {"name": name, **arguments["finetune_config"]})
    parse_config(SampleConfig, {"name": f"{name}-synthetic", **arguments["sample_config"]})
    parse_config(EvaluateConfig, {"name": name, **arguments["evaluate_config"]})
    parse_config(Policy, arguments["policy"])
    _check_model("caption.tokenizer", captioning.tokenizer)
    _check_model("finetune.base", training.base)


def _check_model(field: str, name: str) -> None:
    if name == TINY_BASE:
        return
    try:
        check_model_name(name)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from error
