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
        arguments: The arguments of the pipeline, among them the configurations of its stages.
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
        if spec.argument_name not in arguments:
            continue
        kind, values = spec.config_of(name, arguments[spec.argument_name])
        for given in _given(arguments) if spec.name == "ingest" else [{}]:
            configs[spec.name] = parse_config(kind, given | values)
    models = {field: model for stage, config in configs.items() for field, model in _models(stage, config).items()}
    for field, model in models.items():
        if model and model != TINY_BASE and not (in_containers and model.startswith("/")):
            _check_model(field, model)


def _given(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns what ``ingest`` is given beside its configuration, for each collection that is read."""
    if "format" in arguments:
        return [{"format": arguments["format"]}]
    return [{"format": one["format"], "name": one["dataset"]} for one in arguments["collections"]]


def _models(stage: str, config: Any) -> dict[str, str | None]:
    """Returns the models that a configuration names, by field."""
    if stage == "caption":
        asked = config.vision_language
        model = asked.model if asked and asked.url is None else None
        return {"caption.tokenizer": config.tokenizer, "caption.vision_language.model": model}
    if stage == "finetune":
        return {"finetune.base": config.base_model.base}
    return {"sample.base": config.base} if stage == "sample" else {}


def _check_model(field: str, name: str) -> None:
    try:
        check_model_name(name)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from error
