"""The commands that list formats, show datasets and merge them."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lesiongen.cli import inspect as inspect_module
from lesiongen.cli.app import app
from lesiongen.dataset import DatasetWriter, Part, Sample, derive
from lesiongen.dataset.reader import Dataset
from lesiongen.errors import UsageError
from lesiongen.imaging import encode_png
from lesiongen.ingestion.formats import FORMATS, reader_class
from lesiongen.phantoms import PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render
from lesiongen.records.origin import OtherOrigin


@pytest.fixture
def dataset(tmp_path):
    def publish(name: str, first: int) -> str:
        with DatasetWriter(str(tmp_path / name), name=name, licence="CC0-1.0") as writer:
            for number in range(first, first + 3):
                image = encode_png(render(draw_concepts(PhantomConfig(), number), 48))
                sample = Sample(image=image, image_id=f"{name}{number}", diagnosis="nv", split="train", source=name)
                writer.add(sample)
        return str(tmp_path / name)

    return publish


def invoke(*arguments: str):
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


def test_every_format_is_listed_with_its_licence():
    listed = invoke("datasets").stdout
    for name in FORMATS:
        reader = reader_class(name)
        assert f"{name} " in listed
        assert reader.homepage in listed


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_shown_in_full_with_a_command_that_is_understood(name):
    shown = invoke("datasets", name).stdout
    for line in reader_class(name).expects:
        assert line in shown
    (facts,) = json.loads(invoke("datasets", name, "--json").stdout)
    assert facts["example"] in shown
    assert facts["options"] == dict(reader_class(name).options)


def test_a_format_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(UsageError, match=r"(?s)'isic2027'.*isic2024, isic2016, isic, ham10000"):
        invoke("datasets", "isic2027")


def test_inspect_prints_counts_and_no_pictures_into_a_pipe(dataset):
    uri = dataset("seen", 0)
    shown = invoke("inspect", uri).stdout
    assert "\nattribution: not stated\n" in shown
    assert "seen: 3 images" in shown
    assert "▀" not in shown
    assert json.loads(invoke("inspect", uri, "--json").stdout)["classes"]["nv"]["train"] == 3


@pytest.mark.parametrize(("flags", "expected"), [((), True), (("--no-images",), False), (("--no-real-images",), False)])
def test_inspect_draws_pictures_on_a_terminal_with_colour(flags, expected, dataset, monkeypatch):
    terminal = Console(force_terminal=True, color_system="truecolor", width=80, record=True)
    monkeypatch.setattr(inspect_module, "console", terminal)
    invoke("inspect", dataset("seen", 0), *flags)
    assert ("▀" in terminal.export_text()) == expected


def test_inspect_tells_the_whole_path_of_its_page(dataset, tmp_path, monkeypatch):
    uri = dataset("seen", 0)
    monkeypatch.chdir(tmp_path)
    assert f"report: {tmp_path / 'seen.html'}\n" in invoke("inspect", uri, "--report", "seen.html").stdout


def test_inspect_writes_a_page(dataset, tmp_path):
    uri = dataset("seen", 0)
    invoke("inspect", uri, "--report", str(tmp_path / "out" / "seen.html"))
    assert "data:image/" in (tmp_path / "out" / "seen.html").read_text()
    invoke("inspect", uri, "--report", str(tmp_path / "bare.html"), "--no-real-images")
    assert "data:image/" not in (tmp_path / "bare.html").read_text()
    with pytest.raises(UsageError, match="ends in .html"):
        invoke("inspect", uri, "--report", str(tmp_path / "page"))


def test_merge_says_what_it_found(dataset, tmp_path):
    first, second = dataset("a", 0), dataset("b", 2)
    shown = invoke("merge", first, second, "--output", str(tmp_path / "merged"), "--name", "both").stdout
    assert "5 images" in shown
    assert "1 images exactly, 0 nearly" in shown
    assert "left out: 1 images" in shown
    answer = invoke("merge", first, second, "--output", str(tmp_path / "kept"), "--duplicates", "keep", "--json").stdout
    assert json.loads(answer)["rows"] == 6
    assert json.loads(answer)["merge"]["duplicates"][0]["image"] == "a/a2"


def test_merge_joins_the_parts_of_one_job(dataset, tmp_path):
    whole = Dataset.open(dataset("a", 0))
    uris = []
    for number in (1, 2):
        part = Part(number, 2)
        uris.append(str(tmp_path / f"part{number}"))
        origin = OtherOrigin(stage="test", part=str(part))
        derive(whole, uris[-1], lambda samples: samples, name="a", origin=origin, rows=part.rows(len(whole)))
    invoke("merge", *uris, "--output", str(tmp_path / "joined"))
    assert Dataset.open(str(tmp_path / "joined")).manifest.version == whole.manifest.version
    with pytest.raises(UsageError, match="is a whole dataset"):
        invoke("merge", uris[0], whole.uri, "--output", str(tmp_path / "mixed"))
