"""What a stranger's model folder may do: be read. Nothing in it is run, and nothing is asked."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesiongen.captions.tokenizers import load_tokenizers
from lesiongen.captions.vision_language import VisionLanguageConfig
from lesiongen.concepts.tokenizer import build_tokenizer
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.model.folder import local_model, publish, write_manifest
from lesiongen.errors import DataError, LesionGenError, UsageError
from lesiongen.model_files import model_files
from lesiongen.records.model import Training
from lesiongen.storage import open_storage

LOADING = """
import sys
from lesiongen.captions.tokenizers import load_tokenizers
from lesiongen.captions.vision_language import VisionLanguageConfig
from lesiongen.captions.vision_language.local_model import LocalModel
from lesiongen.errors import LesionGenError
for load in (lambda: load_tokenizers("tokenizer"), lambda: LocalModel(VisionLanguageConfig(model="model"))):
    try: load()
    except LesionGenError as error: print(str(error))
"""


def _code(folder: Path, witness: Path) -> None:
    """Writes code of a model's own, which leaves a file behind where it is run or imported."""
    text = f"from pathlib import Path\nPath({str(witness)!r}).touch()\nclass Own: pass\n"
    for name in ("own.py", "None.py"):
        (folder / name).write_text(text)


def _foreign_tokenizer(folder: Path, witness: Path) -> Path:
    build_tokenizer().save_pretrained(folder)
    _code(folder, witness)
    path = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    return folder


def _foreign_model(folder: Path, witness: Path) -> Path:
    folder.mkdir()
    _code(folder, witness)
    auto = {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own", "AutoProcessor": "own.Own"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto}))
    (folder / "preprocessor_config.json").write_text(json.dumps({"processor_class": "Own", "auto_map": auto}))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize("stdin", ["y\ny\ny\n", None])
def test_code_of_a_model_is_neither_run_nor_asked_about(tmp_path, stdin):
    witness = tmp_path / "witness"
    _foreign_tokenizer(tmp_path / "tokenizer", witness)
    _foreign_model(tmp_path / "model", witness)
    answers = {"input": stdin} if stdin else {"stdin": subprocess.DEVNULL}
    ended = subprocess.run(
        [sys.executable, "-c", LOADING],
        capture_output=True, text=True, cwd=tmp_path, timeout=300, **answers,
    )  # fmt: skip
    assert not witness.exists()
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("cannot be loaded") == 2
    assert "[y/N]" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"_class_name": ["own", "Own"]},
        {"unet": ["own", "Own"]},
        {"scheduler": ["own", "Own"]},
        {"scheduler": ["diffusers", "utils"]},
        {"another": ["own", "Own"]},
        {"text_encoder": ["transformers", "AutoModel"]},
        {"safety_checker": ["own", "Own"]},
        {},
    ],
)  # fmt: skip
def test_no_module_is_imported_because_a_pipeline_names_it(diffusion_folder, tmp_path, monkeypatch, changes):
    folder, witness = shutil.copytree(diffusion_folder, tmp_path / "model"), tmp_path / "witness"
    for part in (folder, folder / "unet", folder / "scheduler", folder / "text_encoder"):
        _code(part, witness)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "own", type(sys)("own"))  # diffusers takes what is imported already
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "own.Own"}}))
    try:
        pipeline = family_of(folder).load_pipeline()
    except LesionGenError as error:
        assert "invalid value of" in str(error)
        assert "text_encoder" not in changes and "safety_checker" not in changes
    else:
        # The classes are the family's, whatever the index says.
        assert {type(part).__module__.partition(".")[0] for part in pipeline.components.values() if part} <= {
            "diffusers", "transformers",
        }  # fmt: skip
        assert set(changes) <= {"text_encoder", "safety_checker"}
    assert not witness.exists()


@pytest.fixture(scope="module")
def diffusion_folder(tmp_path_factory):
    from tests.diffusion.conftest import build_pipeline

    return build_pipeline(tmp_path_factory.mktemp("base") / "pipeline")


def test_only_data_are_fetched_from_s3(tmp_path, s3_root):
    folder = _foreign_tokenizer(tmp_path / "model", tmp_path / "witness")
    for name in ("weights.bin", "weights.pt", "weights.pkl", "run.sh", "model.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"0")
    open_storage(f"{s3_root}/model").upload_folder(folder)
    with model_files(f"{s3_root}/model", None, ["*.json", "*.txt", "*.safetensors"]) as fetched:
        found = {path.suffix for path in fetched.rglob("*") if path.is_file()}
    assert found == {".json", ".txt", ".safetensors"}
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_tokenizers(f"{s3_root}/model")
    assert not (tmp_path / "witness").exists()


def test_a_model_that_was_published_with_its_pictures_is_whole_without_them(diffusion_folder, tmp_path, s3_root):
    folder = shutil.copytree(diffusion_folder, tmp_path / "model")
    (folder / "losses.png").write_bytes(b"0")
    facts = {
        "family": "stable-diffusion",
        "method": "full",
        "base": None,
        "prediction_type": "epsilon",
        "image_size": 16,
    }
    write_manifest(folder, training=Training(), **facts)
    publish(folder, f"{s3_root}/model")
    with local_model(f"{s3_root}/model") as fetched:
        assert not (fetched / "losses.png").exists()
    (folder / "unet" / "config.json").unlink()
    open_storage(f"{s3_root}/model").delete("unet/config.json")
    with pytest.raises(DataError, match="unet/config.json is missing"), local_model(f"{s3_root}/model"):
        pass


def test_a_place_that_asks_for_more_than_data_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(ValueError, match="py"), model_files(str(tmp_path), None, ["*.py"]):
        pass
    assert VisionLanguageConfig(model="x").url is None
