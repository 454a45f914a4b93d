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


def check_arguments(arguments: Mapping[str, Any], *, in_containers: bool = False) -> None:
    """Builds every stage's configuration as its step does, so that a wrong one is named before the first step starts.

    Args:
        arguments: The arguments of the pipeline.
        in_containers: The steps run in containers, whose folders are not those of this machine.

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
    drawing = parse_config(SampleConfig, {"name": f"{name}-synthetic", **arguments["sample_config"]})
    parse_config(EvaluateConfig, {"name": name, **arguments["evaluate_config"]})
    parse_config(Policy, arguments["policy"])
    asked = captioning.vision_language
    models = {
        "caption.tokenizer": captioning.tokenizer,
        "caption.vision_language.model": asked.model if asked and asked.url is None else None,
        "finetune.base": training.base,
        "sample.base": drawing.base,
    }
    for field, model in models.items():
        if model and model != TINY_BASE and not (in_containers and model.startswith("/")):
            _check_model(field, model)


def _check_model(field: str, name: str) -> None:
    try:
        check_model_name(name)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from error
