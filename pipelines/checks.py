"""Check the arguments of a pipeline before anything runs."""

from collections.abc import Mapping
from typing import Any

from lesiongen.config import parse_config
from lesiongen.diffusion import TINY_BASE
from lesiongen.errors import UsageError
from lesiongen.model_files import check_model_name
from lesiongen.registry import check_name
from lesiongen.storage import open_storage
from pipelines.stages import CONFIGURED

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
    configs: dict[str, Any] = {}
    for spec in CONFIGURED:
        kind, values = spec.config_of(name, arguments[spec.argument_name])
        given = {"format": arguments["format"]} if spec.name == "ingest" else {}
        configs[spec.name] = parse_config(kind, given | values)
    asked = configs["caption"].vision_language
    models = {
        "caption.tokenizer": configs["caption"].tokenizer,
        "caption.vision_language.model": asked.model if asked and asked.url is None else None,
        "finetune.base": configs["finetune"].base,
        "sample.base": configs["sample"].base,
    }
    for field, model in models.items():
        if model and model != TINY_BASE and not (in_containers and model.startswith("/")):
            _check_model(field, model)


def _check_model(field: str, name: str) -> None:
    try:
        check_model_name(name)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from error
