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
        for called, given in _ingests(arguments) if spec.name == "ingest" else [(name, {})]:
            kind, values = spec.config_of(called, arguments[spec.argument_name])
            # As the step does: a field of the configuration wins.
            configs[spec.name] = parse_config(kind, given | values)
    models = {field: model for stage, config in configs.items() for field, model in _models(stage, config).items()}
    for field, model in models.items():
        if model and model != TINY_BASE and not (in_containers and model.startswith("/")):
            _check_model(field, model)


def _ingests(arguments: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns the name and the other fields that ``ingest`` is given, for each collection that is read.

    Raises:
        UsageError: The configuration that several collections share holds what each has of its own.
    """
    if "format" in arguments:
        return [(arguments["name"], {"format": arguments["format"]})]
    for field in ("name", "format"):
        if field in arguments["ingest_config"]:
            raise UsageError(f"ingest.{field} belongs to each collection", hint="Give it with the collection.")
    if "seed" in arguments["ingest_config"]:
        raise UsageError("ingest.seed belongs to the whole run", hint="Give it as seed.")
    return [(one["dataset"], {"format": one["format"]}) for one in arguments["collections"]]


def _models(stage: str, config: Any) -> dict[str, str | None]:
    """Returns the models that a configuration names, by field."""
    if stage == "caption":
        asked = config.vision_language
        model = asked.model if asked and asked.url is None else None
        return {"caption.tokenizer": config.tokenizer, "caption.vision_language.model": model}
    if stage == "finetune":
        return {"finetune.base": config.base_model.base}
    return {f"{stage}.base": config.base} if stage in ("sample", "reconstruct") else {}


def _check_model(field: str, name: str) -> None:
    try:
        check_model_name(name)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from error
