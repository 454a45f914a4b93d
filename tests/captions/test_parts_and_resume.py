"""Captioning in parts and after a kill: the very dataset of one undisturbed job, nothing measured twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesiongen.captions import CaptionConfig, caption, join_captions
from lesiongen.captions import describing as describing_module
from lesiongen.captions.describing import described, work_key
from lesiongen.captions.journal import Journal
from lesiongen.captions.writers import LOCAL_WRITERS, Written
from lesiongen.cli.app import app
from lesiongen.concepts import Report
from lesiongen.config import parse_config
from lesiongen.dataset import Dataset, DatasetWriter, Part, Sample
from lesiongen.errors import DataError, Interrupted, UsageError
from lesiongen.imaging import encode_png
from lesiongen.owner import this_process
from lesiongen.phantoms import PhantomConfig, draw_concepts, render
from lesiongen.storage import open_storage

WRITERS = ("expert", "metadata", "measured")


def _config(**values):
    return parse_config(CaptionConfig, {"tokenizer": "tiny", **values})


def _phantoms(folder, count, side=64):
    with DatasetWriter(str(folder), name="phantoms", licence="CC0-1.0") as writer:
        for index in range(count):
            concepts = draw_concepts(PhantomConfig(seed=5), index)
            writer.add(
                Sample(
                    image=encode_png(render(concepts, side)),
                    image_id=concepts.image_id,
                    diagnosis=concepts.diagnosis,
                    split=("train", "train", "validation", "test")[index % 4],
                    lesion_id=concepts.lesion_id,
                    age=concepts.age,
                )
            )
    return str(folder)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(describing_module, "PIECE_ROWS", 4)
    # One process: what counts the writers' work counts in this one.
    monkeypatch.setattr(describing_module, "FEWEST_PIECES", 1000)


@pytest.fixture
def counted(monkeypatch):
    """Counts how often each image is measured."""
    seen = Counter()
    writer = LOCAL_WRITERS["measured"]

    class Counting:
        def write(self, samples, images):
            seen.update(sample.image_id for sample in samples)
            return writer.write(samples, images)

    monkeypatch.setitem(LOCAL_WRITERS, "measured", Counting())
    return seen


@pytest.mark.slow
def test_joined_parts_are_the_dataset_and_the_report_of_one_job(tmp_path, small_pieces):
    uri = _phantoms(tmp_path / "dataset", 22)
    whole = caption(_config(preview=4), uri, str(tmp_path / "whole"))
    parts = [str(tmp_path / f"part{number}") for number in (1, 2, 3)]
    for number, output in enumerate(parts, start=1):
        caption(_config(preview=4), uri, output, part=Part(number, 3))
    joined = join_captions(parts, str(tmp_path / "joined"))
    assert joined.dataset.version == whole.dataset.version
    assert joined.counts == whole.counts
    assert (tmp_path / "joined/caption_preview.html").read_text() == (
        tmp_path / "whole/caption_preview.html"
    ).read_text()


@pytest.mark.slow
def test_several_processes_write_what_one_writes(tmp_path, monkeypatch):
    uri = _phantoms(tmp_path / "dataset", 12, side=48)
    monkeypatch.setattr(describing_module, "PIECE_ROWS", 2)
    one = caption(_config(), uri, str(tmp_path / "one"), part=Part(1, 1))
    monkeypatch.setattr(describing_module, "FEWEST_PIECES", 10**6)
    several = caption(_config(), uri, str(tmp_path / "several"), part=Part(1, 1))
    assert one.dataset.version == several.dataset.version


@pytest.mark.slow
def test_a_second_attempt_measures_only_what_is_missing(tmp_path, small_pieces, counted, monkeypatch):
    uri = _phantoms(tmp_path / "dataset", 16)
    broken = LOCAL_WRITERS["measured"].write

    class Dying:
        def write(self, samples, images):
            if sum(counted.values()) >= 8:
                raise KeyboardInterrupt
            return broken(samples, images)

    kept = "what was seen in 8 of 16 images is kept in"
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=kept):
        patch.setitem(LOCAL_WRITERS, "measured", Dying())
        caption(_config(), uri, str(tmp_path / "out"))
    assert not (tmp_path / "out/_dataset.json").exists()
    result = caption(_config(), uri, str(tmp_path / "out"))
    assert set(counted.values()) == {1}, "no image was measured twice"
    undisturbed = caption(_config(), uri, str(tmp_path / "undisturbed"))
    assert result.dataset.version == undisturbed.dataset.version
    assert result.counts == undisturbed.counts
    assert not list((tmp_path / "out").rglob("*.json*work*")) and not list((tmp_path / "out/_work").rglob("*.json"))


@pytest.mark.parametrize("change", [{"seed": 4}, {"max_tokens": 20}, {"label_only": True}])
def test_other_wording_uses_the_same_work(change):
    assert work_key(_config(), "v") == work_key(_config(**change), "v")


def test_other_writers_or_other_data_are_other_work():
    keys = {work_key(_config(), "v"), work_key(_config(), "w"), work_key(_config(writers=("measured",)), "v")}
    assert len(keys) == 3


def test_a_damaged_piece_of_work_is_made_again(tmp_path, caplog):
    journal = Journal(open_storage(tmp_path), "key")
    journal.put(range(2), [{"measured": Written(report=Report(), tone="dark")}] * 2)
    (path,) = tmp_path.rglob("*.json")
    assert [item["measured"].tone for item in journal.get(range(2))] == ["dark", "dark"]
    path.write_text(path.read_text()[:-7])
    assert journal.get(range(2)) is None
    assert "is damaged and is made again" in caplog.text
    path.write_text(json.dumps([]))
    assert journal.get(range(2)) is None, "a piece of other rows"


@pytest.mark.slow
def test_a_damaged_image_is_named_by_every_process(tmp_path, monkeypatch):
    samples = [Sample(image=b"broken", image_id=f"bad-{n}", diagnosis="nv", split="train") for n in range(4)]
    monkeypatch.setattr(describing_module, "PIECE_ROWS", 1)
    with pytest.raises(DataError, match="image_id = bad-0"):
        list(described(WRITERS, iter(samples), range(4), Journal(open_storage(tmp_path), "key"), {}))


@pytest.mark.slow
def test_killed_and_started_again_equals_undisturbed(tmp_path):
    uri = _phantoms(tmp_path / "dataset", 200, side=48)
    output = tmp_path / "out"
    program = str(Path(sys.executable).with_name("lesiongen"))
    command = [program, "caption", uri, "--output", str(output), "--tokenizer", "tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(output.glob("_work/*/*.json")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    kept = sorted(path.name for path in output.glob("_work/*/*.json"))
    assert kept and not (output / "_dataset.json").exists()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    whole = caption(_config(), uri, str(tmp_path / "whole"))
    assert Dataset.open(str(output)).manifest.version == whole.dataset.version


@pytest.mark.slow
def test_the_commands_caption_in_shards_and_merge_them(tmp_path, small_pieces):
    uri = _phantoms(tmp_path / "dataset", 9)
    whole = caption(_config(name="ph"), uri, str(tmp_path / "whole"))
    parts = [str(tmp_path / f"part{number}") for number in (1, 2)]
    for number, output in enumerate(parts, start=1):
        options = ["--output", output, "--tokenizer", "tiny", "--name", "ph", "--part", f"{number}/2"]
        assert CliRunner().invoke(app, ["caption", uri, *options]).exit_code == 0
    result = CliRunner().invoke(app, ["merge", *parts, "--output", str(tmp_path / "out"), "--json"])
    assert json.loads(result.stdout)["version"] == whole.dataset.version
    reports = [json.loads((tmp_path / name / "caption_report.json").read_text()) for name in ("out", "whole")]
    assert reports[0] == reports[1]
    refused = CliRunner().invoke(app, ["merge", *parts, "--output", str(tmp_path / "other"), "--duplicates", "drop"])
    assert "have no effect with the parts of one job" in str(refused.exception)


def test_parts_that_are_not_all_there_are_refused(tmp_path, small_pieces):
    uri = _phantoms(tmp_path / "dataset", 6)
    caption(_config(), uri, str(tmp_path / "part1"), part=Part(1, 2))
    with pytest.raises(UsageError, match="part 1/2; parts given: 1"):
        join_captions([str(tmp_path / "part1")], str(tmp_path / "joined"))


def test_a_part_with_a_damaged_report_is_named(tmp_path, small_pieces):
    uri, parts = _phantoms(tmp_path / "dataset", 2), [str(tmp_path / f"part{number}") for number in (1, 2)]
    for number, output in enumerate(parts, start=1):
        caption(_config(), uri, output, part=Part(number, 2))
    (tmp_path / "part2" / "caption_report.json").write_text('{"images": "many"}')
    with pytest.raises(DataError, match=r"part2/caption_report.json is damaged: \w+"):
        join_captions(parts, str(tmp_path / "joined"))
    assert not (tmp_path / "joined").exists()


@pytest.mark.parametrize(
    "change", [{"max_cost": 2.0}, {"concurrency": 8}, {"attempts": 9}, {"allow_upload": ("clinic",)}]
)
def test_a_raised_limit_goes_on_with_the_same_work(change):
    model = {"model": "m", "url": "http://localhost:1/v1", "cache": "c", "price_input": 1.0, "max_cost": 1.0}
    keys = [
        work_key(_config(writers=("measured", "vision-language"), vision_language=fields), "v")
        for fields in (model, {**model, **change}, {**model, "model": "other"})
    ]
    assert keys[0] == keys[1] != keys[2]


def leave_claim(output):
    """Leaves the claim of a process that was killed while it worked on an output."""
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = replace(this_process(), pid=killed.pid)
    killed.kill()
    killed.wait()
    output.with_name(f".{output.name}.lock").write_text(json.dumps(owner.plain()))


@pytest.mark.slow
def test_killed_once_it_had_published_it_is_found_again_and_leaves_nothing(tmp_path, small_pieces, counted):
    uri, out = _phantoms(tmp_path / "dataset", 6), tmp_path / "out"
    first = caption(_config(preview=2), uri, str(out))
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"caption_report.json", "caption_report.html", "caption_preview.html"} <= set(content)
    with pytest.raises(UsageError, match="already holds a dataset"):
        caption(_config(preview=2), uri, str(out))
    seen = counted.total()
    leave_claim(out)
    (out / "_work" / "of_another_configuration").mkdir(parents=True)
    assert caption(_config(preview=2), uri, str(out)) == first
    assert counted.total() == seen
    assert {path.name: path.read_bytes() for path in out.iterdir()} == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "out"]


@pytest.mark.slow
def test_reports_are_there_before_the_manifest(tmp_path, small_pieces, monkeypatch):
    uri = _phantoms(tmp_path / "dataset", 6)
    parts = [str(tmp_path / f"part{number}") for number in (1, 2)]
    for number, output in enumerate(parts, start=1):
        caption(_config(), uri, output, part=Part(number, 2))
    broken = "lesiongen.captions.stage.caption_page"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(broken, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        join_captions(parts, str(tmp_path / "joined"))
    assert not (tmp_path / "joined").exists()
    assert join_captions(parts, str(tmp_path / "joined")).counts.images == 6
