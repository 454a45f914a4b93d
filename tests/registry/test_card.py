"""The model card says what the documents of a generator say, the worst first, and what they do not say as unknown."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.records.card import CardRecord
from lesiongen.records.concept_fidelity import ConceptFidelity
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Contamination
from lesiongen.records.model import BaseReference
from lesiongen.records.origin import IngestOrigin, MergedDataset, MergeOrigin
from lesiongen.registry import ModelCard, model_card, promote, register
from lesiongen.registry.card.facts import card_data, card_training
from lesiongen.registry.card.stage import _public
from lesiongen.storage import open_storage
from tests.registry.commands import LAX
from tests.registry.conftest import COPYING, GOOD, numbers
from tests.registry.models import manifest

UNKNOWN = CardRecord(
    name="demo",
    version="1",
    training={"family": "stable-diffusion", "method": "lora", "prediction": "epsilon", "image_size": 512},
)


def group(name, recall, *, n=40, too_small=False):
    bounds = {"low": recall - 0.1, "high": recall + 0.1}
    return {"column": "sex", "group": name, "n": n, "lesions": n, "recall": recall, "too_small": too_small, **bounds}


def share(value, n):
    return {"share": value, "n": n, "low": value - 0.05, "high": value + 0.05}


def measured():
    """An evaluation that knows what a card shows."""
    found = json.loads(json.dumps(numbers()))
    real, both = ({**found["utility"]["real"]} for _ in range(2))
    real["subgroups"] = [group("male", 0.9), group("female", 0.7), group("not stated", 0.1, n=3, too_small=True)]
    both["subgroups"] = [group("male", 0.85), group("female", 0.75), group("not stated", 0.2, n=3, too_small=True)]
    for scores in (real, both):
        scores["balanced_accuracy"] = {"mean": 0.6, "low": 0.55, "high": 0.65, "per_seed": [0.6]}
    found["utility"] = {"real": real, "both": both}
    found["worst_group"] = {"column": "sex", "group": "female", "explanation": "The worst group is sex: female."}
    found["memorisation"]["search"]["planted"] = {"crop": {"any": share(0.8, 50), "thumbnail": share(0.3, 50)}}
    found["concept_fidelity"]["yes_no"] = [
        {
            "concept": "irregular border",
            "scores": {"synthetic": {"within_diagnoses": {"value": 0.25, "low": 0.125, "high": 0.375}}},
        }
    ]
    return {**found, "classes": ["mel", "nv"], "config": {"confidence": 0.95}, "lesiongen_version": "0.1.0"}


@pytest.fixture
def registered(evaluate, name):
    return register(**evaluate(measured()), name=name)


def row(markdown, first):
    (line,) = [line for line in markdown.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_numbers_have_their_intervals_and_the_worst_group_is_first(registered, name):
    card = model_card(name)
    text = card.markdown
    assert row(text, "real images") == ["real images", "0.600 (0.550 to 0.650)", "1"]
    assert "+0.010 (+0.000 to +0.020)" in row(text, "both vs real")
    assert [each.group for each in card.facts.groups] == ["female", "male", "not stated"]
    worst = row(text, "sex: female")
    assert worst[1:] == [
        "0.750 (0.650 to 0.850)", "0.700 (0.600 to 0.800)", "40", "40", "the worst group, as named",
    ]  # fmt: skip
    assert row(text, "sex: not stated")[-1] == "too few images"
    assert text.index("sex: female") < text.index("sex: male") < text.index("sex: not stated")


def test_memorisation_and_concepts_are_those_of_the_evaluation(registered, name):
    text = model_card(name).markdown
    assert row(text, "held-out real images (chance)")[-1] == "120"
    assert row(text, "difference")[1] == "-1.0% (-2.0% to +0.5%)"
    assert row(text, "crop") == ["crop", "80.0% (75.0% to 85.0%)", "50"], "all descriptors together"
    assert "Concept fidelity is 0.40 (0.30 to 0.50)" in text
    assert row(text, "irregular border")[2:] == ["+0.25 (+0.12 to +0.38)", "unknown"]
    assert "trained on 0 validation and 0 test images" in text


def test_what_is_not_known_is_said_to_be_unknown(registered, name):
    text = model_card(name).markdown
    assert row(text, "consent of the patients")[1] == "not recorded"
    assert row(text, "licence")[1] == "unknown"
    for recorded in ("time in seconds", "energy in kWh"):
        assert row(text, recorded)[1] == "not recorded"
    for unknown in ("steps", "learning rate", "seed", "base model"):
        assert row(text, unknown)[1] == "unknown"
    assert row(text, "training images")[1] == "2"


def test_a_card_without_any_document_invents_nothing():
    text = ModelCard(UNKNOWN).markdown
    body = text.split("---", 2)[2]
    numbers_in_it = set(re.findall(r"\d+(?:\.\d+)?%?", body))
    assert numbers_in_it == {"1", "512", "0"}, "the version, the image size, and no group of none"
    for part in ("Results are unknown", "near copies is unknown", "Concept fidelity is unknown", "have not decided"):
        assert part in body


def test_hugging_face_reads_the_header(registered, name):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    card = model_card(name, licence="cc-by-nc-4.0")
    parsed = huggingface_hub.ModelCard(card.markdown)
    data = parsed.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "cc-by-nc-4.0",
        "diffusers",
        "text-to-image",
    )
    assert {"dermatology", "stable-diffusion"} <= set(data["tags"])
    assert "datasets" not in data, "a name of our own is no id of the hub"
    assert {result.metric_type for result in parsed.data.eval_results} == {"balanced_accuracy"}
    assert {result.metric_name: result.metric_value for result in parsed.data.eval_results} == {
        "balanced accuracy, trained on real": 0.6,
        "balanced accuracy, trained on both": 0.6,
    }
    assert parsed.text.lstrip().startswith(f"# {name}, version 1")
    assert yaml.safe_load(model_card(name).markdown.split("---")[1])["license"] == "unknown"


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ("CompVis/stable-diffusion-v1-4", "CompVis/stable-diffusion-v1-4"),
        ("s3://clinic/models/own", None),
        ("/home/someone/models/own", None),
    ],
)
def test_the_base_is_named_where_it_is_public_and_no_address_is_shown(base, named):
    model = manifest(None, base={"uri": base, "revision": None, "version": "f" * 64}, method="lora")
    card = ModelCard(UNKNOWN.changed(training=card_training(model, ())))
    header = yaml.safe_load(card.markdown.split("---")[1])
    assert header.get("base_model") == named
    assert "lora" in header["tags"]
    assert (base in card.markdown) == (base in card.html) == (named is not None)


def test_no_address_of_our_own_is_on_the_card(registered, name):
    card = model_card(name)
    for form in (card.markdown, card.html, card.facts.model_dump_json()):
        assert "s3://" not in form


def test_what_can_name_an_image_or_a_folder_is_not_on_the_card():
    base = BaseReference(uri="owner/base", version="f" * 64)
    local = ConceptFidelity(scorer="/home/somebody/clip", scorer_source={"source": "/home/somebody/clip"})
    assert _public(local).scorer == ""
    assert "somebody" not in _public(local).model_dump_json()
    assert _public(local.changed(scorer="owner/clip")).scorer == "owner/clip"
    training = card_training(manifest(None, base=base, method="lora"), ())
    seen = Contamination(validation=0, test=0)
    text = ModelCard(UNKNOWN.changed(training=training, contamination=seen, evaluation_notes=3)).markdown
    assert "What its base, owner/base, was trained on is not recorded and not counted." in text
    assert "Notes on the evaluation, in its report: 3." in text


class Addresses(HTMLParser):
    """The elements of a page that load something, and where from."""

    def __init__(self, page):
        super().__init__()
        self.loaded = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        addresses = [given[name] for name in ("src", "href", "data", "action") if name in given]
        self.loaded += [(tag, address) for address in addresses if not address.startswith("#")]
        self.loaded += [(tag, "")] if tag in ("script", "link", "iframe", "object", "embed") else []


def test_the_page_asks_for_nothing_from_elsewhere_and_escapes_names():
    wild = UNKNOWN.changed(
        name="<script src='https://evil.example/x.js'>", worst_group="a | b <img src=//evil.example>"
    )
    card = ModelCard(wild)
    assert Addresses(card.html).loaded == []
    assert "url(" not in card.html
    assert "default-src 'none'" in card.html
    body = card.markdown.split("---", 2)[2]
    assert "# \\<script src='https://evil.example/x.js'\\>" in body
    assert not re.search(r"(?<!\\)<", body)


def test_the_data_are_described_with_licences_and_notes(tmp_path):
    def published(folder, origin, licence):
        uri = str(tmp_path / folder)
        with DatasetWriter(uri, name=folder, licence=licence, attribution="A clinic", origin=origin) as writer:
            writer.add(Sample(image=folder.encode(), image_id=folder, diagnosis="nv", split="train"))
        dataset = Dataset.open(uri)
        return {"uri": dataset.uri, "version": dataset.manifest.version}

    read = published(
        "ham", IngestOrigin(stage="ingest", config={"format": "ham10000"}, notes=("No ages.",)), "CC BY-NC 4.0"
    )
    merged = published(
        "all", MergeOrigin(stage="merge", datasets=(MergedDataset(name="ham", licence="CC BY-NC 4.0"),)), None
    )
    trained, tested = card_data(manifest(merged), EvaluationRecord(sources={"real": read}))
    assert (trained.used_for, trained.licence, trained.merged) == ("training", None, {"ham": "CC BY-NC 4.0"})
    assert (tested.used_for, tested.collection, tested.licence) == ("evaluation", "ham10000", "CC BY-NC 4.0")
    assert (tested.notes, tested.consent, tested.attribution) == (1, None, "A clinic")
    text = ModelCard(UNKNOWN.changed(data=(trained, tested))).markdown
    assert "| ham | CC BY-NC 4.0 |" in text
    assert "Notes on how it was read, in the dataset's manifest: 1." in text

    gone = card_data(manifest({**merged, "version": "0" * 64}), EvaluationRecord())
    assert (gone[0].name, gone[0].licence) == (None, None)
    assert "its licence, source and size are unknown" in ModelCard(UNKNOWN.changed(data=gone)).markdown


def test_registration_logs_the_card_and_the_version_names_it(registered, name, client, tmp_path):
    entity = client.get_model_version(name, registered.version)
    assert entity.tags["lesiongen.card"] == f"runs:/{entity.run_id}/card"
    files = {file.path for file in client.list_artifacts(entity.run_id, "card")}
    assert files == {"card/README.md", "card/card.html", "card/card.json"}
    facts = json.loads(Path(client.download_artifacts(entity.run_id, "card/card.json", str(tmp_path))).read_text())
    assert facts == model_card(name).facts.model_dump(mode="json")


def test_the_decision_and_its_gates_are_on_the_card(registered, evaluate, name):
    assert "have not decided on this version" in model_card(name).markdown
    decided = promote(name, gates=LAX, who="release board")
    text = model_card(name).markdown
    assert f"{decided.decision.outcome.value}, decided by release board on" in text
    for reason in decided.decision.reasons:
        assert f"| {reason.gate} {reason.word} |" in text


def test_the_champion_is_chosen_before_the_challenger_and_a_version_by_number_or_alias(evaluate, name):
    register(**evaluate(GOOD), name=name)
    promote(name, gates=LAX)
    register(**evaluate(COPYING), name=name)
    assert model_card(name).facts.version == "1"
    assert model_card(name, "challenger").facts.version == model_card(name, "2").facts.version == "2"
    for unknown in ("7", "nobody"):
        with pytest.raises(UsageError, match="has no version"):
            model_card(name, unknown)
    with pytest.raises(UsageError, match="No model is registered"):
        model_card("unheard-of")


def test_a_changed_document_is_refused(registered, name):
    open_storage(registered.evaluation_uri).write_json("evaluation.json", GOOD)
    with pytest.raises(DataError, match="has changed since it was registered"):
        model_card(name)


def test_the_command_prints_saves_and_gives_facts(registered, name, tmp_path):
    run = CliRunner().invoke
    printed = run(app, ["card", name])
    assert printed.exit_code == 0, printed.output
    assert printed.output.startswith("---\n")
    folder = tmp_path / "card"
    saved = run(app, ["card", name, "--output", str(folder), "--licence", "cc0-1.0"])
    assert saved.output.splitlines() == [str(folder / file) for file in ("README.md", "card.html", "card.json")]
    assert "license: cc0-1.0" in (folder / "README.md").read_text()
    facts = json.loads(run(app, ["card", name, "--json"]).output)
    assert facts["groups"][0]["group"] == "female"
    CardRecord.model_validate(facts)
