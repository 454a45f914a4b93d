"""Concept fidelity: images that show what their captions ask for, and images that do not."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from lesiongen.concepts import Measurement
from lesiongen.concepts.tokenizer import build_tokenizer
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import UsageError
from lesiongen.evaluation import EvaluateConfig
from lesiongen.evaluation.classifier.kinds import pretrained
from lesiongen.evaluation.concepts.asked import GRADED, YES_NO, Measured, YesNo, measured
from lesiongen.evaluation.concepts.effects import Drawn, concept_effects
from lesiongen.evaluation.concepts.examined import Examined, Request, examine, requests
from lesiongen.evaluation.concepts.scored import scored_concepts
from lesiongen.evaluation.concepts.scorer import SHARPNESS, monet_scores, opened_scorer
from lesiongen.evaluation.concepts.sources import ConceptSources
from lesiongen.evaluation.measures.concept_fidelity import ConceptsShown, concept_fidelity
from lesiongen.imaging import encode_png
from lesiongen.records.concept_fidelity import ConceptFidelity, ScoredCounts
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.extractor import ModelSource
from lesiongen.reporting import Table

SIDE, SKIN = 32, (215, 175, 150)
COUNT = 80  # real ones are drawn with replacement: of each grade's 40 about 25 are seen
RADII = {"small": 4.5, "medium": 8.0, "large": 11.0}  # shares of the image: 0.06, 0.20, 0.37
CONFIG = EvaluateConfig(n_bootstrap=200)
SIZE = next(concept for concept in GRADED if concept.name == "size")
IRREGULAR = next(concept for concept in YES_NO if concept.name == "irregular border")
Publish = Callable[[list[Sample]], str]


def lesion(size: str | None, seed: int) -> Image.Image:
    """A brown disc on light skin, its radius by the word for its size; without a word, skin alone."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = np.hypot(x, y) < (RADII[size] if size else 0)
    pixels = np.where(inside[..., None], (120, 75, 50), SKIN) + rng.normal(0, 1, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def sample(prefix: str, number: int, shown: str | None, caption: str | None, *, wide: bool = False) -> Sample:
    image = lesion(shown, number)
    if wide:
        image, square = Image.new("RGB", (64, 48), SKIN), image.resize((48, 48))
        image.paste(square, (8, 0))
    image_id = f"{prefix}{number}"
    return Sample(image=encode_png(image), image_id=image_id, diagnosis="nv", split="train", caption=caption)


def words(number: int) -> str:
    return ("small", "large")[number % 2]


def published(folder: Path, samples: Sequence[Sample]) -> Dataset:
    with DatasetWriter(str(folder), name="lesions") as writer:
        for each in samples:
            writer.add(each)
    return Dataset.open(str(folder))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of 64 x 48 pixels, each with a caption."""
    samples = [sample("real", k, words(k), f"nevus, {words(k)} size, on the back", wide=True) for k in range(COUNT)]
    return published(tmp_path_factory.mktemp("real"), samples)


@pytest.fixture(scope="module")
def obeyed(real: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ConceptFidelity:
    """Of images that show what their captions ask for."""
    samples = [sample("made", k, words(k), captions(k)) for k in range(COUNT)]
    synthetic = published(tmp_path_factory.mktemp("synthetic"), samples)
    return concept_fidelity(ConceptSources({"synthetic": synthetic, "real": real}), CONFIG)


def captions(number: int) -> str:
    """Two dozen prompts: wordings that say the same in other words."""
    lead = ("nevus", "image of nevus", "photo of nevus", "skin with nevus", "skin image of nevus")[number % 5]
    return f"{lead}, {words(number)} {'size' if number % 3 else 'lesion'}, site back"


def drawn(publish: Publish, shown: Callable[[int], str | None], count: int = COUNT) -> Dataset:
    return Dataset.open(publish([sample("made", k, shown(k), captions(k)) for k in range(count)]))


def measured_on(publish: Publish, real: Dataset, shown: Callable[[int], str | None]) -> ConceptFidelity:
    return concept_fidelity(ConceptSources({"synthetic": drawn(publish, shown), "real": real}), CONFIG)


def test_images_that_show_the_size_that_was_asked_for_reach_what_real_images_do(obeyed: ConceptFidelity) -> None:
    found = obeyed
    assert (found.n_synthetic, found.n_examined, found.n_matched, found.image_size) == (COUNT, COUNT, COUNT, SIDE)
    assert found.n_captions == len({captions(k) for k in range(COUNT)})
    assert found.averaged == ("size",)
    size = next(each for each in found.graded if each.concept == "size")
    synthetic = size.scores["synthetic"]
    assert [(level.asked, level.n) for level in synthetic.levels] == [("small", 40), ("large", 40)]
    assert synthetic.levels[0].median == pytest.approx(np.pi * 4.5**2 / SIDE**2, abs=0.02)
    assert synthetic.levels[1].median == pytest.approx(np.pi * 11**2 / SIDE**2, abs=0.03)
    assert min(synthetic.correlation.value, size.scores["real"].correlation.value) > 0.85
    assert found.fidelity.value == pytest.approx(1, abs=0.03)
    small = next(each for each in found.yes_no if each.concept == "small lesion")
    assert (small.scores["synthetic"].present, small.scores["synthetic"].absent) == (1, 0)
    assert small.scores["synthetic"].difference.value == 1
    colours = next(each for each in found.graded if each.concept == "number of colours")
    assert (colours.n_asked, colours.not_computed) == (0, "No caption asks for it.")


def test_images_drawn_whatever_was_asked_have_a_fidelity_near_none(publish: Publish, real: Dataset) -> None:
    found = measured_on(publish, real, lambda number: words(number // 2))
    assert found.correlation["real"].value > 0.85
    assert abs(found.fidelity.value) < 0.1
    assert found.fidelity.low < 0


def test_images_without_a_lesion_are_counted_and_not_taken_for_small_ones(publish: Publish, real: Dataset) -> None:
    found = measured_on(publish, real, lambda number: None if number < 48 else words(number))
    lesions = found.lesions
    synthetic = lesions["synthetic"]
    assert (synthetic.n, synthetic.n_without, synthetic.share_without) == (80, 48, 0.6)
    assert lesions["real"].n_without == 0
    assert next(each for each in found.graded if each.concept == "size").not_computed.startswith("Too few images")


def test_a_real_image_is_one_of_the_diagnosis_whose_caption_states_as_much(publish: Publish) -> None:
    texts = [
        "nevus, red and black, large, on a tan skin tone",
        "nevus, red, large",
        "nevus, small, red and black colour",
    ]
    real = [sample("real", k, "large", text) for k, text in enumerate(texts)]
    other = Sample(**{**_fields(real[0]), "image_id": "other", "diagnosis": "mel"})
    model_made = '{"image_manipulation": "synthetic"}'
    generated = Sample(**{**_fields(real[0]), "image_id": "generated", "provenance": model_made})
    held_out = Sample(**{**_fields(real[0]), "image_id": "held-out", "split": "test"})
    asked = [
        "image of nevus, large size, black and red",  # in other words, without the tone
        "nevus, large",
        "nevus, small, tan skin",
        "nevus",
    ]
    made = [sample("made", k, "large", text) for k, text in enumerate(asked)]
    datasets = Dataset.open(publish([*real, other, generated, held_out])), Dataset.open(publish(made))
    found = requests(*datasets, most=20, seed=0)
    assert [each.real_id for each in found][0] == "real0"
    assert found[1].real_id in {"real0", "real1"}
    assert [each.real_id for each in found][2:] == [None, None]
    assert requests(*datasets, most=20, seed=0) == found


def _fields(item: Sample) -> dict[str, object]:
    return {name: getattr(item, name) for name in Sample.__dataclass_fields__}


def test_of_many_images_as_many_are_drawn_as_the_configuration_allows(publish: Publish, real: Dataset) -> None:
    synthetic = drawn(publish, words)
    some = requests(real, synthetic, most=20, seed=1)
    assert len({each.image_id for each in some}) == 20
    assert some == requests(real, synthetic, most=20, seed=1) != requests(real, synthetic, most=20, seed=2)
    examined = examine(some[:3], {"synthetic": synthetic, "real": real})
    assert [len(each) for each in examined.found.values()] == [3, 3]


def test_without_captions_that_ask_for_a_concept_nothing_is_measured_and_the_reason_said(
    publish: Publish, real: Dataset
) -> None:
    for caption in ("a high quality image of nevus skin lesion", None):
        plain = Dataset.open(publish([sample("made", k, "small", caption) for k in range(3)]))
        found = concept_fidelity(ConceptSources({"synthetic": plain, "real": real}), CONFIG)
        assert "ask for no concept" in found.not_computed
        assert (found.fidelity.value, found.n_synthetic) == (None, 3)


def test_too_few_images_of_a_grade_or_captions_give_a_reason_in_place_of_a_number(real: Dataset) -> None:
    few = concept_effects(examined_of([("nevus, small size", 0.1)] * 30 + [("nevus, large size", 0.4)] * 19))
    assert "different captions" in few.not_computed
    varied = [(f"nevus {k}, {words(k // 19)} size", 0.1) for k in range(2 * 19)]
    assert "of each of two grades" in concept_effects(examined_of(varied)).not_computed
    assert all(each.not_computed for each in concept_effects(examined_of(varied)).yes_no)


def examined_of(stated: Sequence[tuple[str, float]]) -> Drawn:
    """Synthetic images of one diagnosis with a size each, without real ones beside them."""
    asked = [
        Request(str(k), "nv", caption, {"size": (caption.split(", ")[1].split()[0],)}, None)
        for k, (caption, _) in enumerate(stated)
    ]
    seen = [Measured(lesion=True, values={"size": value}, words={"size": ()}) for _, value in stated]
    return Drawn.of(Examined(asked, {"synthetic": seen, "real": [None] * len(seen)}, SIDE), 100, 0.95, 0)


def test_without_real_images_the_correlation_is_known_and_the_fidelity_is_not() -> None:
    stated = [(f"nevus {k}, {words(k)} size", 0.1 + 0.3 * (k % 2) + k / 1000) for k in range(60)]
    found = concept_effects(examined_of(stated))
    assert found.correlation["synthetic"].value == pytest.approx(
        np.sqrt(3) / 2, abs=0.01
    )  # of two grades without overlap
    assert found.fidelity.value is None
    assert found.not_computed.startswith("The real images have no captions")


def test_the_ratio_is_of_the_requests_that_have_a_real_image() -> None:
    """The 60 with a real image follow their captions as that does; the 60 others do not, and have no say."""
    asked = [
        Request(f"s{k}", "nv", f"nevus {k}", {"size": (words(k),)}, f"r{k}" if k < 60 else None) for k in range(120)
    ]
    followed = [Measured(lesion=True, values={"size": k % 2 + k / 1000}, words={}) for k in range(60)]
    whatever = [Measured(lesion=True, values={"size": k / 1000}, words={}) for k in range(60)]
    seen = {"synthetic": [*followed, *whatever], "real": [*followed, *[None] * 60]}
    found = concept_effects(Drawn.of(Examined(asked, seen, SIDE), 100, 0.95, 0))
    assert (found.n_examined, found.n_matched) == (120, 60)
    assert (found.fidelity.value, found.fidelity.low) == (1, 1)
    size = next(each for each in found.graded if each.concept == "size")
    assert size.scores["synthetic"].n == 120
    assert size.scores["synthetic"].within_diagnoses.value < found.correlation["synthetic"].value - 0.2
    lost = [None if k < 50 else each for k, each in enumerate(followed)]  # no lesion is found on most of them
    few = concept_effects(Drawn.of(Examined(asked, seen | {"synthetic": [*lost, *whatever]}, SIDE), 100, 0.95, 0))
    assert (few.fidelity.value, list(few.correlation)) == (None, ["synthetic"])
    assert few.not_computed.startswith("The real images have no captions, or too few")


def test_images_of_one_caption_are_resampled_together() -> None:
    def width(copies: int) -> float:
        rng = np.random.default_rng(0)
        stated = [(f"nevus {k // copies}, {words(k // copies)} size", float(rng.random())) for k in range(240)]
        effect = concept_effects(examined_of(stated)).correlation["synthetic"]
        return effect.high - effect.low

    assert width(12) > width(1) * 0.5
    same = [(f"nevus {k // 12}, {words(k // 12)} size", 0.1 * (k // 12 % 5)) for k in range(240)]
    apart = [(f"nevus {k}, {words(k // 12)} size", 0.1 * (k // 12 % 5)) for k in range(240)]
    together, alone = (concept_effects(examined_of(each)).correlation["synthetic"] for each in (same, apart))
    assert together.value == alone.value
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_what_a_caption_asks_and_a_measurement_shows() -> None:
    assert SIZE.asked({"size": ("large",)}) == 2
    assert SIZE.asked({"border": ("sharp border",)}) is None
    assert IRREGULAR.asked({"border": ("irregular border",)}) is True
    assert IRREGULAR.asked({"border": ("smooth border", "sharp border")}) is False
    assert IRREGULAR.asked({"border": ("sharp border",)}) is None, "nothing is said of its course"
    red = YesNo("colour red", "colour", frozenset({"red"}))
    assert [red.asked(each) for each in ({"colour": ("red", "black")}, {"colour": ("black",)}, {})] == [
        True,
        False,
        None,
    ]
    assert IRREGULAR.shown({"border": ()}) is False
    assert IRREGULAR.shown({}) is None
    nothing = measured(Measurement(np.zeros((4, 4), dtype=bool)))
    assert nothing == Measured(lesion=False, values={}, words={})


def test_the_section_says_what_was_measured_and_why_something_was_not(obeyed: ConceptFidelity) -> None:
    found = obeyed
    evaluation = EvaluationRecord(concept_fidelity=found)
    measure = ConceptsShown()
    figures = measure.figures(None, evaluation)  # type: ignore[arg-type]
    assert min(figures["concepts"].size) > 200
    [section] = measure.sections(evaluation, figures)
    text = repr(section.blocks)
    assert "80 of 80 synthetic images" in text
    assert "number of colours" in text
    assert measure.headline(evaluation)["concept_fidelity"] == found.fidelity.value
    assert measure.headline(evaluation)["no_lesion_share_real"] == 0
    silent = EvaluationRecord(concept_fidelity=ConceptFidelity(not_computed="No captions."))
    assert "No captions." in repr(measure.sections(silent, measure.figures(None, silent)))  # type: ignore[arg-type]
    assert measure.sections(EvaluationRecord(), {}) == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of random weights, with a tokenizer and an image processor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder, tokenizer = tmp_path_factory.mktemp("clip"), build_tokenizer()
    narrow = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**narrow, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(text_config=text, vision_config={**narrow, "image_size": 32, "patch_size": 8}, projection_dim=8)
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def test_scores_are_monets() -> None:
    rng = np.random.default_rng(0)
    images, concepts, references = (
        each / np.linalg.norm(each, axis=-1, keepdims=True)
        for each in (rng.normal(size=(5, 8)), rng.normal(size=(3, 2, 8)), rng.normal(size=(3, 8)))
    )
    expected = torch.zeros(5, 2, dtype=torch.float64)
    for template in range(3):
        for term in range(2):
            logits = torch.tensor(images) @ torch.tensor(np.stack([concepts[template, term], references[template]])).T
            expected[:, term] += torch.softmax(SHARPNESS * logits, dim=-1)[:, 0] / 3
    np.testing.assert_allclose(monet_scores(images, concepts, references), expected, rtol=1e-9)


def test_a_clip_model_scores_the_words_of_captions(publish: Publish, clip: Path) -> None:
    texts = [f"nevus {k}, {('red', 'black')[k % 2]}, small size" for k in range(COUNT)]
    synthetic = Dataset.open(publish([sample("made", k, words(k), text) for k, text in enumerate(texts)]))
    datasets = {"synthetic": synthetic, "real": Dataset.open(publish([sample("real", 0, "small", None)]))}
    examined = examine(requests(datasets["real"], synthetic, most=100, seed=0), datasets)
    with opened_scorer(str(clip)) as scorer:
        found = scored_concepts(Drawn.of(examined, 100, 0.95, 0), datasets, scorer)
        images = [lesion(words(k), k) for k in range(COUNT)]
        scores = scorer.scores(images, ["red colour"])[:, 0]
    assert [(each.concept, each.n_present, each.n_absent) for each in found] == [
        ("red colour", 40, 40),
        ("black colour", 40, 40),
    ]
    assert scores.std() > 0
    assert found[0].auroc["synthetic"].value == pytest.approx(roc_auc_score([k % 2 == 0 for k in range(COUNT)], scores))
    assert set(found[0].auroc) == {"synthetic"}
    assert found[0].n == {"synthetic": ScoredCounts(n_present=40, n_absent=40)}


def test_scores_of_real_images_are_counted_as_real_images(publish: Publish, clip: Path) -> None:
    """Of 80 synthetic images 50 have a real image of the same caption beside them."""
    texts = [f"nevus, {('red', 'black')[k % 2]}, {('small', 'medium')[k >= 50]} size" for k in range(COUNT)]
    synthetic = Dataset.open(publish([sample("made", k, words(k), text) for k, text in enumerate(texts)]))
    real = Dataset.open(publish([sample("real", k, words(k), text) for k, text in enumerate(texts[:50])]))
    datasets = {"synthetic": synthetic, "real": real}
    drawn = Drawn.of(examine(requests(real, synthetic, most=100, seed=0), datasets), 100, 0.95, 0)
    with opened_scorer(str(clip)) as scorer:
        red = scored_concepts(drawn, datasets, scorer)[0]
    assert red.n == {
        "synthetic": ScoredCounts(n_present=40, n_absent=40),
        "real": ScoredCounts(n_present=25, n_absent=25),
    }
    evaluation = EvaluationRecord(concept_fidelity=ConceptFidelity(scored=(red,)))
    [section] = ConceptsShown().sections(evaluation, {})
    rows = [row[:4] for block in section.blocks if isinstance(block, Table) for row in block.rows]
    assert rows == [("red colour", "synthetic", 40, 40), ("red colour", "real", 25, 25)]


def test_the_record_names_the_files_of_the_scorer(publish: Publish, real: Dataset, clip: Path) -> None:
    with opened_scorer(str(clip)) as scorer:
        found = concept_fidelity(ConceptSources({"synthetic": drawn(publish, words, 2), "real": real}, scorer), CONFIG)
    digest = hashlib.sha256((clip / "model.safetensors").read_bytes()).hexdigest()
    assert found.scorer == str(clip.resolve())
    assert found.scorer_source == ModelSource(
        model="clip", source=str(clip.resolve()), files={"model.safetensors": digest}
    )


def test_a_scorer_on_the_hub_is_named_by_its_commit(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, asked = tmp_path / ("c" * 40), []
    shutil.copytree(clip, snapshot)
    monkeypatch.setattr(pretrained, "hub_snapshot", lambda *given: asked.append(given[:2]) or snapshot)
    for name in ("owner/clip", "hub:owner/clip", f"hub:owner/clip@{'c' * 40}"):
        with opened_scorer(name) as scorer:
            assert (scorer.source.source, scorer.source.revision) == ("owner/clip", "c" * 40)
    assert asked == [("owner/clip", None), ("owner/clip", None), ("owner/clip", "c" * 40)]


def test_a_scorer_that_cannot_score_an_image_is_refused_before_anything_is_measured(clip: Path, tmp_path: Path) -> None:
    shutil.copytree(clip, tmp_path / "clip")
    processor = tmp_path / "clip" / "preprocessor_config.json"
    wrong = {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}}
    processor.write_text(json.dumps(json.loads(processor.read_text()) | wrong))
    with pytest.raises(UsageError, match="gives no score of an image"), opened_scorer(str(tmp_path / "clip")):
        pass


def test_a_scorer_that_is_none_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((clip / "config.json").read_text())
    with pytest.raises(UsageError, match="concept_scorer"), opened_scorer(str(tmp_path)):
        pass
