"""A local model: the real classes and the real processors, randomly initialised."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lesiongen.captions.vision_language import VisionLanguageConfig, local_model
from lesiongen.captions.vision_language.local_model import LocalModel
from lesiongen.captions.vision_language.question import Question
from lesiongen.captions.vision_language.writer import VisionLanguageWriter
from lesiongen.errors import DataError, UsageError

from . import tiny_models
from .conftest import picture, sample

SAYS = ('{"colour": ["red", "black"], ', '"shape": ["oval"], ', '"skin_tone": ["light"]}')


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "llava": tiny_models.llava(root / "llava"),
        "idefics3": tiny_models.idefics3(root / "idefics3"),
        "speaking": tiny_models.llava(root / "speaking", SAYS),
    }


def config(folder, **changes):
    return VisionLanguageConfig(
        **({"model": folder, "max_answer_tokens": 16, "entries": ("colour", "shape")} | changes)
    )


def log_probabilities(model, questions):
    """The numbers of each answer as they were generated: a random model's tokens seldom make up text."""
    model._answer = lambda tokens, numbers: numbers
    return [numbers for _, numbers in sorted(model.answer(questions), key=lambda item: item[0])]


@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_an_answer_depends_on_its_image_and_not_on_its_neighbours(folders, kind):
    settings = config(folders[kind], batch_size=3)
    texts = ("Look.", "Look closely.", "Look as closely as you can.")
    questions = [Question(picture(index), "", text, {"properties": {}}) for index, text in enumerate(texts)]
    model = LocalModel(settings)
    together = log_probabilities(model, questions)
    for place, question in enumerate(questions):
        [alone] = log_probabilities(model, [question])
        assert torch.allclose(together[place], alone, atol=1e-4)
    white = Image.new("RGB", (90, 60), "white")
    [another] = log_probabilities(model, [Question(white, "", texts[0], {"properties": {}})])
    assert not torch.allclose(together[0], another, atol=1e-3)


def test_a_model_that_speaks_fills_the_report_with_its_own_confidence(folders):
    settings = config(folders["speaking"], entries=("colour", "shape", "skin_tone"), max_answer_tokens=32)
    [part] = VisionLanguageWriter(settings).write([sample()], [picture()])
    found = dict(part.report.entries())
    assert {name: entry.value for name, entry in found.items()} == {
        "colour": ("red", "black"), "shape": ("oval",), "skin_tone": ("light",),
    }  # fmt: skip
    assert all(0 < entry.confidence <= 1 for entry in found.values())
    assert part.refused == ()


@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_a_model_that_babbles_is_asked_once_more_and_then_refused(folders, kind, tmp_path, monkeypatch):
    asked = []
    generate = LocalModel._generate

    def counted(self, questions):
        asked.extend(questions)
        return generate(self, questions)

    monkeypatch.setattr(LocalModel, "_generate", counted)
    seer = VisionLanguageWriter(config(folders[kind], cache=str(tmp_path / "cache")))
    [part] = seer.write([sample()], [picture()])
    assert part.refused == ("no JSON object",) and not list(part.report.entries())
    assert [bool(question.rejected) for question in asked] == [False, True]
    assert seer.write([sample()], [picture()]) == [part]
    assert len(asked) == 2, "the same question would bring the same answer"


def test_a_second_run_does_not_generate(folders, tmp_path, monkeypatch):
    settings = config(folders["speaking"], cache=str(tmp_path / "cache"), max_answer_tokens=32)
    first = VisionLanguageWriter(settings).write([sample(1), sample(2)], [picture(1), picture(2)])
    monkeypatch.setattr(LocalModel, "_generate", None)
    assert VisionLanguageWriter(settings).write([sample(1), sample(2)], [picture(1), picture(2)]) == first


def test_half_precision_answers_too(folders, monkeypatch):
    monkeypatch.setattr(local_model, "_precision", lambda device: torch.bfloat16)
    settings = config(folders["speaking"], max_answer_tokens=32)
    [part] = VisionLanguageWriter(settings).write([sample()], [picture()])
    assert part.report.shape.value == ("oval",)


def test_pickles_are_not_read(folders, tmp_path):
    folder = tmp_path / "pickled"
    tiny_models.llava(folder)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="safetensors"):
        LocalModel(config(str(folder)))


def test_code_of_the_model_is_not_run(tmp_path):
    folder = tmp_path / "coded"
    tiny_models.llava(folder)
    content = json.loads((folder / "config.json").read_text())
    content |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.C", "AutoModelForImageTextToText": "code.M"}}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        LocalModel(config(str(folder)))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"config\.json"):
        LocalModel(config(str(tmp_path)))


@pytest.mark.parametrize(
    ("part", "field"),
    [("text_config", "num_hidden_layers"), ("vision_config", "num_hidden_layers"), ("text_config", "hidden_size")],
)
def test_a_configuration_that_is_larger_than_its_weights_takes_no_memory(folders, tmp_path, part, field):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    described = json.loads((folder / "config.json").read_text())
    described[part][field] = 1 << 20
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match="config.json describes"):
        LocalModel(config(str(folder)))


def test_weights_that_are_not_in_the_files_are_not_made_up(folders, tmp_path):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    lost = next(name for name in sorted(tensors) if "mlp" in name)
    save_file({name: value for name, value in tensors.items() if name != lost}, weights, {"format": "pt"})
    with pytest.raises(DataError, match="asks for 1 tensors that the weights do not have"):
        LocalModel(config(str(folder)))


def _with_size(value):
    def harm(folder):
        path = folder / "config.json"
        described = json.loads(path.read_text())
        described["text_config"]["hidden_size"] = value
        path.write_text(json.dumps(described))

    return harm


@pytest.mark.parametrize(
    "harm",
    [
        *(lambda folder, text=text: (folder / "config.json").write_text(text) for text in ("[]", '"x"', "null")),
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x07damaged"),
        _with_size(0),
        _with_size("a"),
    ],
    ids=["list", "text", "null", "nested", "weights", "zero", "word"],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_damaged_model_is_an_error_that_names_it(folders, tmp_path, harm):
    folder = shutil.copytree(folders["llava"], tmp_path / "llava")
    harm(folder)
    with pytest.raises((DataError, UsageError), match="llava.* cannot be loaded: .") as caught:
        LocalModel(config(str(folder)))
    assert caught.value.hint
