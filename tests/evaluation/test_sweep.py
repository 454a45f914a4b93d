"""The sweep: the rule, what it reads, what it keeps, and how an evaluation takes its choice."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from lesiongen.cli.sweep import sweep_command
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.evaluation import EvaluateConfig, SweepConfig, evaluate, sweep
from lesiongen.evaluation.classifier.training import Budget
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.sweeping import candidates, page, stage
from lesiongen.evaluation.sweeping.candidates import Trainings
from lesiongen.evaluation.sweeping.choice import chosen_by, with_choice
from lesiongen.evaluation.sweeping.config import Filter, Mixing
from lesiongen.evaluation.sweeping.grid import REAL_ALONE, Setting, grid
from lesiongen.evaluation.sweeping.rule import one_standard_error, score_candidates
from lesiongen.records.evaluation import read_evaluation
from lesiongen.records.origin import SelectOrigin
from lesiongen.records.sweep import Candidate, SweepRecord
from lesiongen.storage import Claim
from tests.evaluation.conftest import SIZE, real_samples, synthetic_samples, write
from tests.evaluation.test_selection import copies_of_training_images, with_flaws, without_test_images

HALF = Mixing(synthetic_fraction=0.5)
CONFIG = SweepConfig(
    classifier="small",
    n_seeds=2,
    steps=16,
    image_size=SIZE,
    mixings=(HALF,),
    filters=(Filter(), Filter(keep=0.5, drop_near_copies=True)),
    recogniser_seeds=1,
    n_bootstrap=200,
)


@pytest.mark.parametrize(
    ("means", "errors", "chosen"),
    [
        ([0.50, 0.58, 0.60, 0.59], [0.02, 0.03, 0.0, 0.03], 1),  # within one standard error, and the simplest such
        ([0.50, 0.58, 0.60, 0.59], [0.02, 0.01, 0.0, 0.03], 2),  # the best itself is simpler than the last
        ([0.595, 0.58, 0.60, 0.61], [0.02, 0.03, 0.01, 0.0], 0),  # real images alone win
        ([0.60], [0.0], 0),
    ],
)
def test_the_simplest_within_one_standard_error_of_the_best_is_chosen(means, errors, chosen) -> None:
    assert one_standard_error(np.array(means), np.array(errors)) == chosen


def test_scores_and_standard_errors_are_those_of_a_paired_bootstrap() -> None:
    rng = np.random.default_rng(0)
    lesions = np.repeat(np.arange(60), 2)
    labels = lesions % 3
    right = rng.random((2, 4, 120))
    predictions = [np.where(right[k] < 0.5 + 0.1 * k, labels, (labels + 1) % 3) for k in range(2)]
    predictions.append(predictions[1].copy())
    resamples = Resamples(lesions, 400, 0.95, seed=1)
    scores = score_candidates(labels, predictions, 3, resamples, seed=2)
    expected = [[balanced_accuracy_score(labels, row) for row in candidate] for candidate in predictions]
    np.testing.assert_allclose(scores.per_seed, expected, atol=1e-6)
    assert scores.difference_error(1, 2) == 0  # the same predictions, whatever is drawn
    drawn = np.random.default_rng(2).multinomial(4, np.full(4, 0.25), 400)
    for number in range(5):  # a resample is the mean of drawn seeds on drawn lesions
        weights = resamples.weights[number][lesions]
        each = [balanced_accuracy_score(labels, row, sample_weight=weights) for row in predictions[0]]
        assert scores.resampled[0, number] == pytest.approx(np.average(each, weights=drawn[number]), abs=1e-6)
    assert scores.difference_error(0, 1) == pytest.approx((scores.resampled[0] - scores.resampled[1]).std(ddof=1))


def test_candidates_are_each_set_and_the_pool_from_simple_to_complicated() -> None:
    quarter = Mixing(synthetic_fraction=0.25)
    apart = Mixing(protocol="separate-norm", synthetic_fraction=0.25)
    config = SweepConfig(mixings=(apart, HALF, quarter), filters=(Filter(keep=0.7), Filter()))
    settings = grid(config, ["g1", "g4"])
    assert len(settings) == 1 + 3 * 3 * 2
    assert settings[0] == Setting()
    assert settings[0].name == REAL_ALONE
    plain = [(one.sets, one.mixing) for one in settings[1:10]]
    g1, g4, pool = ("g1",), ("g4",), ("g1", "g4")
    single = [(g1, quarter), (g4, quarter), (g1, HALF), (g4, HALF), (g1, apart), (g4, apart)]
    assert plain == [*single, (pool, quarter), (pool, HALF), (pool, apart)]
    assert all(one.filter.keep == 0.7 for one in settings[10:])
    assert len({one.name for one in settings}) == len({one.file for one in settings}) == len(settings)


def test_one_set_is_no_pool_and_equal_candidates_are_one() -> None:
    assert len(grid(SweepConfig(mixings=(HALF, HALF), filters=(Filter(),)), ["g1"])) == 2


def test_a_number_that_is_left_out_is_the_default_in_name_order_and_equality() -> None:
    assert Mixing() == Mixing(synthetic_fraction=0.5, synthetic_until=0.5) == HALF
    assert Mixing(protocol="concat").fields() == {"protocol": "concat", "synthetic_weight": 1.0}
    assert Mixing(protocol="pretrain").fields() == {"protocol": "pretrain", "synthetic_until": 0.5}
    quarter = Mixing(synthetic_fraction=0.25)
    settings = grid(SweepConfig(mixings=(Mixing(), HALF, quarter), filters=(Filter(),)), ["g1"])
    assert [one.mixing for one in settings] == [None, quarter, HALF]
    assert settings[2].name == "g1, curriculum, synthetic_fraction 0.5"
    longer = Setting(("g1",), Mixing(synthetic_until=0.75))
    assert longer.name == "g1, curriculum, synthetic_fraction 0.5, synthetic_until 0.75"
    assert Setting(("g1",), Mixing(protocol="pretrain")).name == "g1, pretrain, synthetic_until 0.5"


def test_a_curve_holds_the_candidates_that_differ_in_their_share_alone() -> None:
    mixings = (
        *(Mixing(synthetic_fraction=share) for share in (0.75, 0.25)),
        *(Mixing(synthetic_fraction=share, synthetic_until=1) for share in (0.25, 0.5)),
        *(Mixing(protocol="concat", synthetic_weight=weight) for weight in (2, 1)),
        Mixing(protocol="pretrain"),
    )
    listed = [
        Candidate(name=one.name, sets=one.sets, mixing=one.mixing.fields() if one.mixing else {}, keep=one.filter.keep)
        for one in grid(SweepConfig(mixings=mixings, filters=(Filter(), Filter(keep=0.5))), ["g1"])
    ]
    curves = page._curves(SweepRecord(candidates=tuple(listed)))
    assert {name: [share for share, _ in points] for name, points in curves.items()} == {
        "g1, concat": [1, 2],
        "g1, curriculum": [0.25, 0.75],
        "g1, curriculum, synthetic_until 1": [0.25, 0.5],
    }


def test_candidates_that_differ_in_a_late_digit_have_names_of_their_own() -> None:
    close = (Mixing(synthetic_fraction=0.12345671), Mixing(synthetic_fraction=0.12345672))
    settings = grid(SweepConfig(mixings=close, filters=(Filter(),)), ["g1"])
    assert len({one.name for one in settings}) == len({one.file for one in settings}) == 3


def test_a_number_that_a_protocol_does_not_read_is_refused() -> None:
    with pytest.raises(UsageError, match="synthetic_weight has no effect with the protocol curriculum"):
        parse_config(SweepConfig, {"mixings": [{"synthetic_weight": 2.0}]})


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A sweep over good and flawed discs; the files of the test split do not exist."""
    folder = tmp_path_factory.mktemp("sweep")
    real = without_test_images(folder / "real")
    sets = {"good": write(folder / "good", synthetic_samples()), "flawed": with_flaws(folder / "flawed")}
    result = sweep(CONFIG, sets, real, str(folder / "sweep"))
    return {"folder": str(folder), "real": real, **sets, "output": result.uri}


def record_of(swept: dict[str, str]) -> SweepRecord:
    return SweepRecord.read(json.loads((Path(swept["output"]) / "sweep.json").read_text()))


def test_without_the_test_split_a_sweep_judges_every_candidate_on_validation_images(swept: dict[str, str]) -> None:
    with pytest.raises(Exception, match="test-00000"):
        list(Dataset.open(swept["real"]).samples("test"))
    record = record_of(swept)
    assert (record.n_train, record.n_validation, record.validation_lesions) == (90, 24, 12)
    assert [one.name for one in record.candidates] == [one.name for one in grid(CONFIG, ["good", "flawed"])]
    assert [one.n_synthetic for one in record.candidates[:4]] == [0, 63, 60, 123]
    assert all(0 < one.n_synthetic < 62 for one in record.candidates[4:])
    best = max(record.candidates, key=lambda one: one.mean or 0)
    assert record.candidate(record.best).mean == best.mean
    near = [one for one in record.candidates if one.behind <= one.behind_error]
    assert record.choice == min(near, key=lambda one: one.rank).name
    assert record.tested != REAL_ALONE
    page = (Path(swept["output"]) / "sweep.html").read_text()
    assert "The test split was not opened" in page
    assert [note.split()[0] for note in record.notes] == ["The", "24"]
    assert "The classifier small both selects the images (recogniser) and judges the candidates" in page
    assert "24 validation images are too few for a firm threshold of near copies." in page


def test_the_tested_images_are_a_dataset_of_their_own(swept: dict[str, str]) -> None:
    record = record_of(swept)
    tested = record.candidate(record.tested)
    dataset = Dataset.open(record.chosen_images.uri)
    assert dataset.manifest.version == record.chosen_images.version
    assert len(dataset) == tested.n_synthetic
    if len(tested.sets) > 1 or tested.keep < 1:
        assert isinstance(dataset.manifest.origin, SelectOrigin)
        assert dataset.manifest.origin.kept == dataset.manifest.classes


def test_finished_candidates_are_found_again(swept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    output = Path(swept["output"])
    before = record_of(swept)
    missing = output / Setting(("good",), HALF).file
    (output / "sweep.json").unlink()
    missing.unlink()
    trained = []
    monkeypatch.setattr(candidates, "recognise", lambda *_: pytest.fail("the probabilities are kept"))
    monkeypatch.setattr(candidates, "similarities", lambda *_: pytest.fail("the similarities are kept"))
    once = Trainings.predictions
    monkeypatch.setattr(Trainings, "predictions", lambda self, one, step: trained.append(one) or once(self, one, step))
    sets = {name: swept[name] for name in ("good", "flawed")}
    sweep(CONFIG, sets, swept["real"], str(output))
    assert trained == [Setting(("good",), HALF)]
    assert missing.exists()
    assert record_of(swept).changed(created="") == before.changed(created="")
    sweep(CONFIG, sets, swept["real"], str(output))
    assert len(trained) == 1


def test_the_command_shows_the_choice_and_what_limits_it(swept: dict[str, str]) -> None:
    app = typer.Typer()
    app.command()(sweep_command)
    words = ["--real", swept["real"], "--output", swept["output"], "--classifier", "small", "--n-seeds", "2"]
    words += [word for name in ("good", "flawed") for word in ("--synthetic", f"{name}={swept[name]}")]
    filters = "filters=[{keep: 1}, {keep: 0.5, drop_near_copies: true}]"
    values = ("steps=16", f"image_size={SIZE}", "mixings=[{}]", filters, "recogniser_seeds=1", "n_bootstrap=200")
    result = CliRunner().invoke(app, [*words, *(word for value in values for word in ("--set", value))])
    assert result.exit_code == 0, result.output
    assert f"chosen: {record_of(swept).choice}: balanced accuracy" in result.output
    assert "warning: The classifier small both selects the images" in result.output


def unfinished(swept: dict[str, str], path: Path) -> Path:
    """A copy of the sweep as a call leaves it that was stopped before its last candidate."""
    shutil.copytree(swept["output"], path)
    for name in ("sweep.json", "sweep.html", Setting(("good",), HALF).file):
        (path / name).unlink()
    return path


def test_scores_of_other_images_are_refused(swept: dict[str, str], tmp_path: Path) -> None:
    output = unfinished(swept, tmp_path / "out")
    (output / "scores" / "probabilities.json").write_text('{"synthetic": {"good": [0.5]}}')
    with pytest.raises(UsageError, match=r"probabilities\.json does not have a score for each image"):
        sweep(CONFIG, {name: swept[name] for name in ("good", "flawed")}, swept["real"], str(output))


def test_the_choice_of_another_process_is_not_replaced(
    swept: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = unfinished(swept, tmp_path / "out")
    once = Trainings.predictions

    def overtaken(self: Trainings, setting: Setting, on_step: object) -> object:
        (output / "sweep.json").write_text("another's")
        return once(self, setting, on_step)

    monkeypatch.setattr(Trainings, "predictions", overtaken)
    with pytest.raises(UsageError, match="already holds a sweep"):
        sweep(CONFIG, {name: swept[name] for name in ("good", "flawed")}, swept["real"], str(output))
    assert (output / "sweep.json").read_text() == "another's"
    assert not (output / "sweep.html").exists()


def test_a_sweep_that_lost_its_claim_publishes_no_choice(
    swept: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = unfinished(swept, tmp_path / "out")

    class Lost(Claim):
        def check(self, *, ask: bool = False) -> None:
            if ask:
                raise StorageError("no longer claimed")

    @contextmanager
    def claimed(_: object) -> Iterator[Claim]:
        yield Lost()

    monkeypatch.setattr(stage, "claimed", claimed)
    with pytest.raises(StorageError, match="no longer claimed"):
        sweep(CONFIG, {name: swept[name] for name in ("good", "flawed")}, swept["real"], str(output))
    assert not {"sweep.json", "sweep.html"} & {path.name for path in output.iterdir()}


def test_candidates_without_images_are_left_out_and_the_record_and_the_page_say_why(
    swept: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The diagnoses have equal numbers of real images: none is a minority."""
    config = CONFIG.changed(
        mixings=(HALF, Mixing(protocol="minority")), filters=(Filter(drop_near_copies=True),), steps=4
    )
    sets = {"good": swept["good"], "copies": copies_of_training_images(tmp_path / "copies")}
    mixed = []
    once = candidates.protocol_mixture
    monkeypatch.setattr(candidates, "protocol_mixture", lambda *parts: mixed.append(parts[1:3]) or once(*parts))
    record = sweep(config, sets, swept["real"], str(tmp_path / "out")).record
    names = [one.name for one in grid(config, list(sets))]
    assert [one.name for one in record.candidates] == [names[0], names[2], names[5]]
    assert record.candidates[1].sets == ("good",)
    assert record.candidates[1].n_synthetic == record.candidates[2].n_synthetic > 0
    assert set(record.left_out) == {*names} - {one.name for one in record.candidates}
    assert record.left_out[names[1]] == "the filter keeps no image: all are near copies of training images"
    minority = [reason for name, reason in record.left_out.items() if "good, minority" in name]
    assert minority == [
        "protocol minority: no image can be mixed in: none is of a diagnosis with fewer real training images than the "
        "median diagnosis"
    ]
    assert "all are near copies of training images" in (tmp_path / "out" / "sweep.html").read_text()
    assert [type(part.images) for parts in mixed for part in parts] == [np.memmap] * 4
    assert record.notes == ("24 validation images are too few for a firm threshold of near copies.",)
    (tmp_path / "out" / "sweep.json").unlink()
    again = sweep(config, sets, swept["real"], str(tmp_path / "out")).record
    assert again.changed(created="") == record.changed(created="")


def test_a_sweep_without_a_candidate_with_images_is_refused_before_training(
    swept: dict[str, str], tmp_path: Path
) -> None:
    config = CONFIG.changed(filters=(Filter(drop_near_copies=True),))
    sets = {"copies": copies_of_training_images(tmp_path / "copies")}
    with pytest.raises(DataError, match="no candidate has synthetic images that can be mixed in: copies, curriculum"):
        sweep(config, sets, swept["real"], str(tmp_path / "out"))
    assert not (tmp_path / "out" / "candidates").exists()


def test_another_grid_needs_another_output(swept: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"a sweep with other settings \(config\)"):
        sweep(CONFIG.changed(seed=1), {n: swept[n] for n in ("good", "flawed")}, swept["real"], swept["output"])


def test_an_evaluation_writes_down_the_digest_of_the_choice(swept: dict[str, str], tmp_path: Path) -> None:
    real = write(tmp_path / "real", real_samples())  # the same images, test split and all
    fields, synthetic = with_choice(swept["output"], {"n_seeds": 1, "n_bootstrap": 100, "n_permutations": 100})
    config = parse_config(EvaluateConfig, fields)
    evaluate(config, real, synthetic, str(tmp_path / "out"), sweep_uri=f"{swept['output']}/sweep.json")
    record = read_evaluation((tmp_path / "out" / "evaluation.json").read_bytes(), "evaluation.json")
    data = (Path(swept["output"]) / "sweep.json").read_bytes()
    assert record.chosen_by is not None
    assert record.chosen_by.digest == hashlib.sha256(data).hexdigest()
    assert record.chosen_by.tested == record_of(swept).tested
    assert record.chosen_by.created <= record.created
    assert any("before this evaluation opened the test split" in note for note in record.notes)


def test_a_choice_for_other_images_or_settings_is_refused(swept: dict[str, str], tmp_path: Path) -> None:
    record = record_of(swept)
    real, synthetic = Dataset.open(swept["real"]), Dataset.open(record.chosen_images.uri)
    config = parse_config(EvaluateConfig, record.evaluate)
    assert chosen_by(swept["output"], config, real, synthetic).choice == record.choice
    other = Dataset.open(write(tmp_path / "other", real_samples()[1:]))
    with pytest.raises(UsageError, match="was made for other real images"):
        chosen_by(swept["output"], config, other, synthetic)
    with pytest.raises(UsageError, match="was made for other synthetic images"):
        chosen_by(swept["output"], config, real, other)
    with pytest.raises(UsageError, match=r"synthetic_fraction = 0.3 contradicts the choice of the sweep .*: 0.5"):
        with_choice(swept["output"], {"synthetic_fraction": 0.3})
    with pytest.raises(UsageError, match="steps = 17 contradicts"):
        chosen_by(swept["output"], config.changed(steps=17), real, synthetic)
    fields, _ = with_choice(swept["output"], {"classifiers": ["small", "resnet18"]})
    assert fields["classifiers"] == ["small", "resnet18"]
    with pytest.raises(UsageError, match="classifiers = .'resnet18'. contradicts"):
        with_choice(swept["output"], {"classifiers": ["resnet18", "small"]})


def test_whatever_trains_a_classifier_is_part_of_the_choice(swept: dict[str, str]) -> None:
    assert {field.name for field in fields(Budget)} < set(record_of(swept).evaluate)
    with pytest.raises(UsageError, match=r"learning_rate = 0.1 contradicts the choice of the sweep .*: 0.003"):
        with_choice(swept["output"], {"learning_rate": 0.1})


@pytest.mark.parametrize("value", [None, "small"])
def test_classifiers_that_are_no_list_are_refused(swept: dict[str, str], value: str | None) -> None:
    chosen, _ = with_choice(swept["output"], {"classifiers": value})
    with pytest.raises(UsageError, match=f"classifiers = {value!r}: Input should be a valid tuple"):
        parse_config(EvaluateConfig, chosen)


def test_a_sweep_is_found_from_its_own_folder(swept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = with_choice(swept["output"], {})
    monkeypatch.chdir(swept["output"])
    for address in ("sweep.json", "./sweep.json", ".", f"{swept['output']}/sweep.json"):
        assert with_choice(address, {}) == expected


def test_an_unfinished_or_damaged_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"contains no sweep\.json"):
        with_choice(str(tmp_path), {})
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(DataError, match="is not a sweep"):
        with_choice(str(tmp_path), {})
