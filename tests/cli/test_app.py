import json
import os
import signal
import subprocess
import sys

import pytest
import typer
from PIL import Image
from pydantic import create_model

from lesiongen.cli import app as cli
from lesiongen.cli.ingest import _columns
from lesiongen.cli.options import chosen_fields, joined_fields, set_values
from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.diffusion import SampleConfig
from lesiongen.errors import UsageError
from lesiongen.imaging import encode_png

HEAVY = set("torch mlflow kfp evidently great_expectations diffusers transformers pandas numpy boto3".split())


def run(*arguments, **options):
    command = [sys.executable, "-m", "lesiongen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_command_line_stays_light():
    code = "import sys, lesiongen.cli.app; sys.stdout.write(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "lesiongen.cli.app" in loaded
    assert not HEAVY & set(loaded)


def test_every_command_has_help_with_an_example():
    overview = run("--help")
    assert overview.returncode == 0
    assert "..." not in overview.stdout.partition("Commands:")[2], "a summary is cut short"
    for name in cli.COMMANDS:
        assert f" {name} " in overview.stdout
        shown = run(name, "--help")
        assert shown.returncode == 0, shown.stderr
        assert "Example" in shown.stdout, name
        examples = [line for line in commands()[name].__doc__.splitlines() if line.startswith("      lesiongen ")]
        assert examples, name
        # Each on a line of its own, however long: to be copied.
        assert {line.strip() for line in examples} <= {line.strip() for line in shown.stdout.splitlines()}, name


def help_of(name):
    command = typer.main.get_command(cli.app).commands[name]
    context = typer.Context(command, info_name=name, auto_envvar_prefix=f"LESIONGEN_{name.upper()}")
    return " ".join(command.get_help(context).split())


def test_help_shows_the_defaults_of_the_configuration(monkeypatch):
    changed = create_model("Changed", __base__=SampleConfig, per_class=(int, 7), batch_size=(int, 5))
    monkeypatch.setattr("lesiongen.diffusion.SampleConfig", changed)
    shown = help_of("sample")
    assert "LESIONGEN_SAMPLE_PER_CLASS; default: 7]" in shown
    assert "batch_size=5" in shown
    # What is left out stays recognisable: it must not win over --set.
    command = typer.main.get_command(cli.app).commands["sample"]
    assert command.make_context("sample", ["model", "--output", "out"]).params["per_class"] is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ingest", "INGEST_ON_ERROR; default: fail]"),
        ("validate", "min_test_per_class=10"),
        ("merge", "MERGE_DUPLICATES; default: drop]"),
        ("caption", "CAPTION_WRITER; default: expert, metadata, measured]"),
        ("finetune", "FINETUNE_MAX_TRAIN_STEPS; default: 15000]"),
        ("finetune", 'those of the preset reference_lora: name="generator"'),
        ("finetune", "learning_rate=5e-06"),
        ("evaluate", "EVALUATE_REAL_IMAGES; default: real-images]"),
    ],
)
def test_every_stage_shows_its_defaults(name, shown):
    assert shown in help_of(name)


def commands():
    return {info.name: info.callback for info in cli.app.registered_commands}


def test_an_error_is_told_without_a_traceback(tmp_path):
    result = run("validate", str(tmp_path))
    assert result.returncode == 2
    assert "is not a dataset" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupted_command_says_so(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lesiongen.phantoms.write_phantoms", interrupt)
    monkeypatch.setattr(sys, "argv", ["lesiongen", "phantoms", "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["inspect"],
        ["merge", "--output", "merged"],
        ["finetune", "--output", "model", "--preset", "miniature"],
    ],
)
def test_a_dataset_that_does_not_exist_is_wrong_use(tmp_path, command):
    result = run(command[0], str(tmp_path / "nothing"), *command[1:], cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert f"{tmp_path / 'nothing'} does not exist" in result.stderr
    assert "_dataset.json" not in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("finetune nothing --output out", "nothing does not exist"),
        ("finetune nothing --output out --set rnak=2", "unknown field rnak"),
        ("sample model --output out", "captions = dataset needs a dataset"),
        ("sample model --output out --dataset nothing", "nothing does not exist"),
        (
            "sample model --output out --captions reference --plan plan.yaml",
            "no training images of the diagnosis 'mell'",
        ),
        ("sample model --output taken --captions reference", "taken already holds a dataset"),
        ("evaluate --real nothing --synthetic nothing --output out", "nothing does not exist"),
        ("evaluate --real nothing --synthetic nothing --output out --n-seeds 0", "n_seeds = 0"),
        ("evaluate --real nothing --output out", "missing option --synthetic"),
        ("evaluate --real nothing --sweep nothing --output out", "contains no sweep.json"),
        ("select nothing --real nothing --output out --keep 2", "keep = 2"),
        ("sweep --real nothing --synthetic g1 --output out", "write NAME=DATASET"),
        ("sweep --real nothing --synthetic g1=a --synthetic g1=b --output out", "the name g1 is used twice"),
        ("base-model build --dataset nothing --output out", "nothing does not exist"),
        ("pipeline run --source nothing --format image_folder", "The source {}/nothing does not exist"),
    ],
)
def test_wrong_use_is_refused_before_torch_is_loaded(tmp_path, command, message):
    (tmp_path / "plan.yaml").write_text("mell: 3\n")
    with DatasetWriter(str(tmp_path / "taken"), name="taken") as writer:
        writer.add(Sample(image=encode_png(Image.new("RGB", (8, 8))), image_id="a", diagnosis="nv", split="train"))
    without_torch = "import sys; sys.modules['torch'] = None; from lesiongen.cli.app import main; main()"
    code = [sys.executable, "-c", without_torch, *command.split()]
    result = subprocess.run(code, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert message.format(tmp_path) in result.stderr
    assert result.returncode == 2


def test_a_wrong_flag_is_exit_code_2():
    assert run("ingest", "--no-such-flag").returncode == 2


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path):
    (tmp_path / "phantoms.yaml").write_text("n: 3\nsize: 32\nseed: 1\n")
    environment = {"LESIONGEN_PHANTOMS_SIZE": "48", "PATH": ""}
    arguments = ["--config", str(tmp_path / "phantoms.yaml"), "--seed", "5", "--output", str(tmp_path / "out")]
    result = run("phantoms", *arguments, env=environment)
    assert result.returncode == 0, result.stderr
    images = sorted((tmp_path / "out" / "images").iterdir())
    assert len(images) == 3
    with Image.open(images[0]) as image:
        assert image.size == (48, 48)


def test_an_unknown_option_in_the_file_is_named(tmp_path):
    (tmp_path / "phantoms.yaml").write_text("number: 3\n")
    result = run("phantoms", "--config", str(tmp_path / "phantoms.yaml"), "--output", str(tmp_path / "out"))
    assert result.returncode == 2
    assert "unknown option number" in result.stderr


def test_a_checks_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "checks.yaml").write_bytes(b"caf\xe9: 1")
    result = run("validate", str(tmp_path), "--checks", str(tmp_path / "checks.yaml"))
    assert result.returncode == 2
    assert f"{tmp_path / 'checks.yaml'} is not YAML" in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_answered(monkeypatch, capsys):
    def stop(stack):
        raise KeyboardInterrupt

    monkeypatch.setattr("lesiongen.stack.Stack.status", stop)
    monkeypatch.setattr(cli.sys, "argv", ["lesiongen", "status"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert "Interrupted." in capsys.readouterr().err


def test_ctrl_c_before_the_command_begins_is_answered(monkeypatch, capsys):
    def stop():
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(cli, "app", stop)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err.startswith("Interrupted by SIGINT.")


def test_values_of_set_are_typed():
    assert set_values(["steps=200", "flip=false", "base=tiny"]) == {"steps": 200, "flip": False, "base": "tiny"}
    with pytest.raises(UsageError, match="write field=value"):
        set_values(["steps"])


def test_a_value_of_set_that_is_not_yaml_is_told():
    with pytest.raises(UsageError, match=r"--set target_modules=\[to_q: the value is not YAML"):
        set_values(["target_modules=[to_q"])


def test_the_name_of_a_column_is_plain_text():
    assert _columns(["diagnosis=yes", "image-type=2024-01-01", "site=a=b"]) == {
        "diagnosis": "yes",
        "image_type": "2024-01-01",
        "site": "a=b",
    }
    for pair in ("diagnosis", "=label", "diagnosis="):
        with pytest.raises(UsageError, match=f"--column {pair}: write canonical=own"):
            _columns([pair])


def test_columns_come_from_a_file_and_flags_win(tmp_path):
    (tmp_path / "columns.yaml").write_text("diagnosis: label\nimage-type: kind\n")
    assert _columns(["diagnosis=dx"], tmp_path / "columns.yaml") == {"diagnosis": "dx", "image_type": "kind"}
    (tmp_path / "columns.yaml").write_text("- diagnosis\n")
    with pytest.raises(UsageError, match=r"columns\.yaml contains no mapping"):
        _columns([], tmp_path / "columns.yaml")


def test_a_resumed_run_takes_no_other_flags(tmp_path):
    home = ["--home", str(tmp_path)]
    for flags in (["--set", "finetune.max_train_steps=1"], ["--source", "x"], ["--config", str(tmp_path / "run.yaml")]):
        (tmp_path / "run.yaml").write_text("preset: demo\n")
        result = run("pipeline", "run", "--resume", "latest", *home, *flags)
        assert result.returncode == 2
        named = "--preset" if flags[0] == "--config" else flags[0]
        assert f"{named} is given with --resume" in result.stderr
    assert "Unknown run 'latest'" in run("pipeline", "run", "--resume", "latest", *home).stderr


def test_sigterm_during_an_ingest_ends_it_with_a_sentence(monkeypatch, capsys, tmp_path):
    cleaned = []

    def ingest(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    monkeypatch.setattr("lesiongen.ingestion.ingest", ingest)
    command = ["ingest", "--source", str(tmp_path), "--format", "ham10000", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(cli.sys, "argv", ["lesiongen", *command])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 143
    said = " ".join(capsys.readouterr().err.split())
    assert said == "Interrupted by SIGTERM. Nothing unfinished was published: start the same command again."
    assert cleaned


NARROW = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("variables", NARROW)
def test_a_screen_without_every_character_shows_help(variables):
    for name in ("", "finetune"):
        shown = run(*name.split(), "--help", env={**os.environ, **variables}, encoding="latin-1")
        assert shown.returncode == 0, shown.stderr
        assert "Show this message and exit." in shown.stdout


@pytest.mark.parametrize("variables", NARROW)
def test_a_screen_without_every_character_shows_results(variables, tmp_path):
    with DatasetWriter(str(tmp_path / "data"), name="Größe") as writer:
        for place, split in enumerate(("train", "test")):
            image = encode_png(Image.new("RGB", (64, 64), (place, 90, 200)))
            writer.add(Sample(image=image, image_id=f"ñ…{place}", diagnosis="nv", split=split, lesion_id=str(place)))
    environment = {**os.environ, **variables}
    shown = run("validate", str(tmp_path / "data"), env=environment, encoding="latin-1")
    assert "Traceback" not in shown.stderr
    assert "recall known to" in shown.stdout
    assert ("+/-" in shown.stdout) == (variables != NARROW[0])
    as_json = run("validate", "--json", str(tmp_path / "data"), env=environment, encoding="latin-1")
    assert json.loads(as_json.stdout)["findings"]


@pytest.mark.parametrize("command", ["status", "validate data", "phantoms --output x"])
def test_a_working_folder_that_was_deleted_is_told(tmp_path, command):
    (tmp_path / "gone").mkdir()
    program = f"cd {tmp_path}/gone && rmdir ../gone && exec {sys.executable} -m lesiongen {command}"
    ended = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: The working folder cannot be used: No such file or directory.")


def test_the_home_folder_is_found_from_flags_files_and_variables(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "LESIONGEN_PHANTOMS_CONFIG": "~/options.yaml"}
    (tmp_path / "options.yaml").write_text("n: 1\noutput: ~/from-file\n")
    for arguments in ([], ["--output=~/from-flag"]):
        assert run("phantoms", *arguments, env=environment, cwd=tmp_path).returncode == 0
    written = {"from-file", "from-flag"}
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == written


def test_interrupted_phantoms_leave_nothing(tmp_path):
    command = [sys.executable, "-m", "lesiongen", "phantoms", "--output", str(tmp_path / "out"), "--n", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert b"Phantoms" in process.stderr.readline()
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_a_field_is_given_by_set_or_by_its_own_option():
    assert chosen_fields(["rank=4"], {"seed": 1, "method": None}) == {"rank": 4, "seed": 1}
    with pytest.raises(UsageError, match="seed is given twice: by --set and by an option of its own\nOmit one"):
        chosen_fields(["seed=2"], {"seed": 1})
    with pytest.raises(UsageError, match="^vision_language.url is given twice"):
        joined_fields({"url": "http://a"}, {"url": "http://b"}, "vision_language.")


@pytest.mark.parametrize("flag", [["--seed", "1"], ["--max-train-steps", "5"]])
def test_a_command_says_that_a_field_is_given_twice(flag, monkeypatch, capsys):
    field = flag[0].removeprefix("--").replace("-", "_")
    monkeypatch.setattr(sys, "argv", ["lesiongen", "finetune", "x", "--output", "y", "--set", f"{field}=3", *flag])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert f"{field} is given twice" in capsys.readouterr().err
