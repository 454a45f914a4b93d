"""A registered generator as MLflow loads and serves it."""

import base64
import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import Model
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion.tiny.build import publish_base_model
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import encode_png
from lesiongen.records.model import BaseReference, read_model
from lesiongen.records.origin import OtherOrigin
from lesiongen.registry import register
from lesiongen.registry.mlflow_model import write_generator
from lesiongen.serving.generator import _load_pyfunc
from lesiongen.storage import open_storage

SMALL = TinyBaseConfig(
    image_size=16, vae_channels=(16, 32), unet_channels=(16, 32), text_width=16, text_layers=1, vae_steps=0
)
PROMPTS = pd.DataFrame({"prompt": ["a melanocytic nevus", "a melanoma"], "seed": [1, 1], "num_inference_steps": [2, 2]})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return publish_base_model(SMALL, None, str(tmp_path_factory.mktemp("models") / "generator")).uri


def written(model: str, folder: Path, **changed: object) -> Path:
    content = open_storage(model).read_bytes("_model.json")
    manifest = read_model(content, model).model_copy(update=changed)
    folder.mkdir()
    write_generator(folder / "model", model, hashlib.sha256(content).hexdigest(), manifest)
    return folder / "model"


def opened(image: bytes) -> Image.Image:
    return Image.open(io.BytesIO(image))


def test_a_loaded_generator_draws_images_that_say_how_they_were_made(model: str, tmp_path: Path) -> None:
    loaded = mlflow.pyfunc.load_model(str(written(model, tmp_path / "written")))
    drawn = loaded.predict(PROMPTS)
    assert [opened(image).size for image in drawn["image"]] == [(16, 16)] * 2
    assert drawn["image"][0] != drawn["image"][1]
    assert loaded.predict(PROMPTS[1:].reset_index(drop=True))["image"][0] == drawn["image"][1]
    said = json.loads(drawn["provenance"][0])
    assert (said["prompt"], said["seed"], said["steps"], said["guidance_scale"]) == ("a melanocytic nevus", 1, 2, 2.0)
    assert said["image_manipulation"] == "synthetic"
    assert any(prompt in str(opened(drawn["image"][0]).text) for prompt in PROMPTS["prompt"][:1])
    assert model not in drawn["provenance"][0]


def test_an_empty_cell_is_the_default_and_a_table_that_cannot_be_drawn_is_refused(model: str, tmp_path: Path) -> None:
    served = _load_pyfunc(str(written(model, tmp_path / "written") / "data" / "generator"))
    defaults = pd.DataFrame({"prompt": ["a nevus", "a nevus"], "seed": [0, None], "num_inference_steps": [2, 2]})
    first, second = served.predict(defaults)["image"]
    assert first == second, "an empty cell stands for the default"
    for columns in ({"text": ["a nevus"]}, {"prompt": ["a nevus"], "lora_scale": [0.5]}):
        with pytest.raises(UsageError, match="The table has the columns"):
            served.predict(pd.DataFrame(columns))
    with pytest.raises(UsageError, match="seed"):
        served.predict(pd.DataFrame({"prompt": ["a nevus"], "seed": [1.5]}))
    with pytest.raises(UsageError, match="empty"):
        served.predict(pd.DataFrame({"prompt": [" "]}))
    with pytest.raises(UsageError, match="num_inference_steps"):
        served.predict(pd.DataFrame({"prompt": ["a nevus"], "num_inference_steps": [0]}))


def test_an_adapter_of_a_hubs_base_has_the_flavour_diffusers_and_one_of_an_address_does_not(
    model: str, tmp_path: Path
) -> None:
    of = {"hub": "owner/base", "address": "s3://bucket/base", "folder": "/models/base", "package": "lesiongen-tiny"}
    flavours = {}
    for name, uri in of.items():
        base = BaseReference(uri=uri, revision="0" * 40 if name == "hub" else None, version="1" * 64)
        flavours[name] = Model.load(str(written(model, tmp_path / name, method="lora", base=base))).flavors
    assert [name for name, each in flavours.items() if "diffusers" in each] == ["hub"]
    adapter = mlflow.diffusers.load_model(str(tmp_path / "hub" / "model"))
    assert (adapter.base_model, adapter.base_model_revision) == ("owner/base", "0" * 40)
    assert (Path(adapter.adapter_path) / "unet").is_dir()
    assert all("python_function" in each for each in flavours.values())


def test_another_model_at_the_registered_address_is_told_apart(model: str, tmp_path: Path) -> None:
    folder = written(model, tmp_path / "written")
    reference = folder / "data" / "generator" / "reference.json"
    reference.write_text(json.dumps({**json.loads(reference.read_text()), "version": "0" * 64}))
    with pytest.raises(DataError, match="was registered"):
        mlflow.pyfunc.load_model(str(folder))


def test_requests_that_come_at_once_are_drawn_one_after_the_other(model: str, tmp_path: Path) -> None:
    served = _load_pyfunc(str(written(model, tmp_path / "written") / "data" / "generator"))
    tables = [pd.DataFrame({"prompt": ["a nevus"], "num_inference_steps": [steps]}) for steps in (3, 7, 4, 9)]
    alone = [served.predict(table)["image"][0] for table in tables]
    with ThreadPoolExecutor(4) as pool:
        together = [drawn["image"][0] for drawn in pool.map(served.predict, tables * 3)]
    assert together == alone * 3


@pytest.mark.slow
def test_the_challenger_is_loaded_by_its_alias_and_served(
    model: str, stack_environment: None, s3_root: str, tmp_path: Path
) -> None:
    name, address = f"served-{uuid.uuid4().hex[:8]}", f"{s3_root}/models/generator"
    open_storage(address).upload_folder(Path(model))
    register(evaluated(s3_root, address), address, name)
    challenger = f"models:/{name}@challenger"
    image = mlflow.pyfunc.load_model(challenger).predict(PROMPTS)["image"][0]
    held = mlflow.artifacts.list_artifacts(f"models:/{name}/1")
    assert "MLmodel" in {Path(each.path).name for each in held}
    assert served_image(challenger, tmp_path) == image
    moved = f"{s3_root}/models/moved"
    open_storage(moved).upload_folder(Path(model))
    register(f"{s3_root}/evaluation", moved, name)
    for item in open_storage(address).list():
        open_storage(address).delete(item.key)
    assert mlflow.pyfunc.load_model(challenger).predict(PROMPTS)["image"][0] == image


def evaluated(root: str, model: str) -> str:
    """Stores an evaluation of images that the model drew."""
    version = hashlib.sha256(open_storage(model).read_bytes("_model.json")).hexdigest()
    sources = {}
    for name, origin in (("real", None), ("synthetic", OtherOrigin(model_version=version))):
        with DatasetWriter(f"{root}/{name}", name=name, origin=origin) as writer:
            for split in ("train", "test"):
                picture = encode_png(Image.new("RGB", (8, 8), (len(name), len(split), 0)))
                writer.add(Sample(picture, f"{name}-{split}", "nv", split=split))
        sources[name] = {"uri": f"{root}/{name}", "version": Dataset.open(f"{root}/{name}").manifest.version}
    open_storage(f"{root}/evaluation").write_json("evaluation.json", {"sources": sources})
    return f"{root}/evaluation"


def served_image(address: str, folder: Path) -> bytes:
    """Starts `mlflow models serve`, asks for the first of the prompts, and stops it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "mlflow", "models", "serve", "--model-uri", address, "--env-manager", "local", "--port", str(port)]
    # MLflow starts uvicorn by its name.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "120"}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", *command], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process, folder / "serve.log")
        body = {"dataframe_split": {"columns": list(PROMPTS), "data": PROMPTS[:1].to_numpy().tolist()}}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            [row] = json.load(answer)["predictions"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    return base64.b64decode(row["image"])


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text())
