"""A generator as an MLflow model: what registration writes so that ``models:/NAME@champion`` can be loaded."""

import json
import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lesiongen.records.model import REFERENCE_NAME, ModelManifest
from lesiongen.storage import open_storage

__all__ = ["REFERENCE_PLACE", "reference_text", "write_generator"]

logger = logging.getLogger(__name__)
LOADER, DATA = "lesiongen.serving.generator", "generator"
REFERENCE_PLACE = f"data/{DATA}/{REFERENCE_NAME}"
"""Where the MLflow model says which generator it is."""
_REQUIRED = ("lesiongen", "torch", "diffusers", "transformers", "accelerate", "peft")
_EXAMPLE = {"prompt": "a dermoscopic image of a melanocytic nevus", "seed": 0, "num_inference_steps": 20}


def write_generator(folder: Path, uri: str, model_version: str, manifest: ModelManifest) -> None:
    """Writes an MLflow model of the flavour ``python_function``; for an adapter of a hub's base ``diffusers``, too.

    A model on S3 is named by its address and not stored again. One in a folder of this machine, which a server of
    MLflow would not find, is copied; so is an adapter, which the flavour ``diffusers`` wants beside itself.

    Args:
        folder: A new folder.
        uri: Where the model is.
        model_version: SHA-256 of its manifest.
        manifest: What it is.

    Raises:
        StorageError: A file of the model cannot be read.
    """
    import pandas as pd
    from mlflow.models import Model

    data, wrapped = folder.parent / DATA, Model()
    data.mkdir()
    (data / REFERENCE_NAME).write_text(reference_text(uri, model_version), encoding="utf-8")
    if "://" not in uri or manifest.method == "lora":
        open_storage(uri).download_folder(data / "model", description="Copying the model into the run")
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
        logger.info("%s is copied into the run of its registration: %.1f MB.", uri, size / 1e6)
    if manifest.method == "lora":
        _name_adapter(wrapped, manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow's own, on its types and on integer columns without missing values
        from mlflow import pyfunc

        pyfunc.save_model(
            str(folder),
            mlflow_model=wrapped,
            loader_module=LOADER,
            data_path=str(data),
            signature=_signature(),
            input_example=pd.DataFrame([_EXAMPLE]),
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
            metadata={"image_manipulation": "synthetic", "model_version": model_version, "family": manifest.family},
        )


def reference_text(uri: str, model_version: str) -> str:
    """Returns what ``reference.json`` holds: where a generator is, and the SHA-256 of its manifest."""
    return json.dumps({"uri": uri, "version": model_version}) + "\n"


def _name_adapter(wrapped: Any, manifest: ModelManifest) -> None:
    """Adds the flavour of an adapter where its base is one that diffusers can fetch: a hub id, never an address."""
    base = manifest.base
    if base is not None and Path(base.uri).is_absolute():
        logger.warning("Its base, %s, is a folder of this machine: the adapter can be loaded only here.", base.uri)
    if base is None or base.uri.count("/") != 1 or base.uri.startswith(("/", ".", "~")):
        return
    pinned = {"base_model_revision": base.revision} if base.revision else {}
    wrapped.add_flavor(
        "diffusers",
        base_model=base.uri,
        adapter_type="lora",
        adapter_weights=f"data/{DATA}/model",
        diffusers_version=version("diffusers"),
        **pinned,
    )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    optional = {"seed": DataType.long, "num_inference_steps": DataType.long, "guidance_scale": DataType.double}
    inputs = [ColSpec(DataType.string, "prompt")]
    inputs += [ColSpec(kind, name, required=False) for name, kind in optional.items()]
    outputs = [ColSpec(DataType.binary, "image"), ColSpec(DataType.string, "provenance")]
    return ModelSignature(Schema(inputs), Schema(outputs))
