"""The compose file as compose reads it: with the variables that `infra/make-env` writes in their places."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE = INFRA / "compose.yaml"


def make_env(output: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Runs the script that makes the secrets."""
    command = [sys.executable, str(INFRA / "make-env"), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def variables(env_file: Path) -> dict[str, str]:
    """Reads a file of variables."""
    lines = [line for line in env_file.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def document() -> dict[str, Any]:
    """Returns the file's content as it is written."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def interpolated(content: Any, values: Mapping[str, str]) -> Any:
    """Puts variables and their defaults in their places; a variable without either is an error."""
    if isinstance(content, dict):
        return {name: interpolated(value, values) for name, value in content.items()}
    if isinstance(content, list):
        return [interpolated(value, values) for value in content]
    return _interpolated(content, values) if isinstance(content, str) else content


def _interpolated(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["name"] in values:
            return values[match["name"]]
        assert match["kind"] == ":-", f"{match['name']} is not in the file of variables"
        return match["rest"]

    filled = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?P<kind>:[-?])(?P<rest>[^}]*)\}", value, text)
    return filled.replace("$$", "$")


def with_options(command: list[str], changes: Mapping[str, str]) -> list[str]:
    """Returns a command whose options, given as ``name=value``, have other values."""
    names = [part.partition("=")[0] for part in command]
    assert set(changes) <= set(names)
    return [f"{name}={changes[name]}" if name in changes else part for name, part in zip(names, command, strict=True)]


def clean_environment(**added: str) -> dict[str, str]:
    """Returns an environment that holds nothing of the caller's servers."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | added
