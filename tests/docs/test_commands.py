"""Every `lesiongen` and `make` command of the README and the docs is one that exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from lesiongen.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (?:\$ )?((?:lesiongen|make) .*)$", re.MULTILINE)


def commands(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    blocks = [block for language, block in FENCED.findall(text) if language in ("", "bash")]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += INDENTED.findall(text.replace("\\\n", " "))
    return sorted({line.removeprefix("$ ").split("  #")[0].strip() for line in lines})


ALL = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)]
OURS = [(page, line) for page, line in ALL if line.startswith("lesiongen ")]
TARGETS = [(page, line) for page, line in ALL if line.startswith("make ")]


@pytest.mark.parametrize(("page", "line"), OURS)
def test_a_lesiongen_command_is_understood(page, line):
    words = shlex.split(line, comments=True)[1:]
    command, path = typer.main.get_command(app), "lesiongen"
    context = None
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{page}: {line}"
        command, path, words = command.commands[words[0]], f"{path} {words[0]}", words[1:]
    if not {"--help", "--version", "--print-checks"} & set(words):  # these print and end
        context = command.make_context(path, words)
        assert context.params is not None


@pytest.mark.parametrize(("page", "line"), TARGETS)
def test_a_make_target_exists(page, line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(word for word in line.split("#")[0].split()[1:] if "=" not in word) <= set(targets), page


def test_the_readme_shows_its_commands():
    assert {line for page, line in ALL if page == "README.md"} >= {"make demo", "make test"}


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
