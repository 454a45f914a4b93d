"""No secret leaves the process, in no spelling; and no character that a terminal obeys."""

import base64
import json
import logging
import os
import subprocess
import sys
from urllib.parse import quote, quote_plus

import pytest

from lesiongen.errors import StorageError, UsageError
from lesiongen.outlets import log_to
from lesiongen.redaction import HIDDEN, names_secret, printable, redact, register_secret, shown
from lesiongen.storage.s3 import s3_client

# Made of a rule, so that nothing here looks like anybody's key.
SECRET = "".join(chr(ord("a") + 7 * place % 26) + str(3 * place % 10) for place in range(12)) + '/+"Zq='
SPELLINGS = {
    "plain": SECRET,
    "upper": SECRET.upper(),
    "percent": quote(SECRET, safe=""),
    "percent, lower": quote(SECRET, safe="").lower(),
    "percent, twice": quote(quote(SECRET, safe=""), safe=""),
    "form": quote_plus(SECRET),
    "json": json.dumps(SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "basic": base64.b64encode(f"someone:{SECRET}".encode()).decode(),
    "cut at the end": SECRET[:8],
    "cut at the start": SECRET[-12:],
    "cut on both sides": SECRET[5:15],
}


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "someone")
    return SECRET


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_secret_is_hidden_in_every_spelling(secret, name):
    text = redact(f"refused: <{SPELLINGS[name]}> for this model")
    kept = text.removeprefix("refused: <").removesuffix("> for this model").strip('"')
    assert kept.startswith(HIDDEN) or name == "basic"
    assert text.startswith("refused: <") and text.endswith("> for this model")
    assert not any(SPELLINGS[name][at : at + 8] in text for at in range(len(SPELLINGS[name]) - 7))


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("http://me:pa/ss@host:5000/x", "http://host:5000/x"),
        ("http://me:pa ss@host:5000", "http://host:5000"),
        ("http://me:p@ss@host:5000", "http://host:5000"),
        ("https://token-alone@host/x", "https://host/x"),
        ("http://host:5000/x@y", "http://host:5000/x@y"),
        ("https://host/x?token=abcdefghi&page=2", "https://host/x?token=***&page=2"),
        ("https://host/x?X-Amz-Signature=abcdef", "https://host/x?X-Amz-Signature=***"),
        ("https://host/?page=2", "https://host/?page=2"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_an_address_loses_user_password_and_secret_parameters(monkeypatch, address, left, known):
    if known:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert redact(f"at {address}, says a@b.c") == f"at {left}, says a@b.c"


def test_what_an_address_holds_is_hidden_where_it_stands_alone(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:lowercase/w1th-slash@host?token=t0ken-in-query")
    assert redact("lowercase/w1th-slash and t0ken-in-query") == f"{HIDDEN} and {HIDDEN}"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Basic abc:def, x", "Authorization: Basic ***"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': 'Bearer ***'}"),
        (r"{\"Authorization\": \"Bearer abc\"}", r"{\"Authorization\": \"Bearer ***\"}"),
        ("bearer abc123def.ghi", "bearer ***"),
        ("basic information about the bearer of this letter", "basic information about the bearer of this letter"),
    ],
)
def test_what_authorizes_is_hidden_by_its_form(text, left):
    assert redact(text) == left


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ('"https://host/x?token=abc" failed', '"https://host/x?token=***" failed'),
        ('Authorization: abc"def"', 'Authorization: ***"def"'),
        ("Authorization: abc\\", "Authorization: ***"),
        ("Authorization: abc\ndef", "Authorization: ***"),
    ],
)
def test_json_stays_json(message, left):
    assert json.loads(redact(json.dumps({"error": message}))) == {"error": left}


def test_short_secrets_do_not_turn_a_text_into_gaps(monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "the")
    monkeypatch.setenv("OTHER_PASSWORD", "lesion")
    monkeypatch.setenv("LAST_PASSWORD", "dermatology-lab")
    text = "the lesions of the lesion in dermatology"
    assert redact(text) == "the lesions of the *** in dermatology"
    assert redact("dermatology-") == HIDDEN
    assert redact("http://the:the@host") == "http://host"


def test_names_and_places_are_no_secrets(monkeypatch, tmp_path):
    assert all(map(names_secret, ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "X_API_KEY", "vision.api_key", "MYSQL_PASS")))
    plain = (
        "AWS_ACCESS_KEY_ID",
        "TOKENIZERS_PARALLELISM",
        "max_tokens",
        "LESIONGEN_CAPTION_TOKENIZER",
        "PWD",
        "COMPASS",
    )
    assert not any(map(names_secret, (*plain, "AWS_WEB_IDENTITY_TOKEN_FILE", "mean_tokens", "sigma")))
    monkeypatch.setenv("GOOGLE_CREDENTIAL", str(tmp_path))
    assert redact(str(tmp_path)) == str(tmp_path)


def test_a_proxy_needs_no_scheme(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "someone:l0wer/case-word@proxy:3128")
    assert redact("l0wer/case-word") == HIDDEN


def test_code_can_name_secrets_that_no_variable_holds():
    register_secret("read-from-a-f1le")
    assert redact("read-from-a-f1le") == HIDDEN


def test_what_a_terminal_obeys_is_spelled_out():
    hostile = "\x1b]0;x\x07\x9b31m\u202egnp.exe\u2066\r\x00\x7f\ud800é\n\tœ"
    assert printable(hostile) == (
        "\\x1b]0;x\\x07\\u009b31m\\u202egnp.exe\\u2066\\x0d\\x00\\u007f\\ud800é\n\tœ"
    )  # fmt: skip
    assert json.loads(printable(json.dumps("\x9b\u202e\x1b", ensure_ascii=False))) == "\x9b\u202e\x1b"


def test_errors_and_logs_hold_neither(secret, capsys):
    error = UsageError(f"{secret}: \x1b[2J", hint=secret)
    assert str(error) == f"{HIDDEN}: \\x1b[2J\n{HIDDEN}"
    log_to(sys.stderr, logging.INFO)
    logging.getLogger("lesiongen.test").info("%s", f"{secret} \x1b[2J")
    assert capsys.readouterr().err == f"{HIDDEN} \\x1b[2J\n"
    assert shown(error) == str(error)


def test_an_endpoint_with_a_password_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://someone:{SECRET}@127.0.0.1:1")
    with pytest.raises((UsageError, StorageError), match="hold no user or password") as caught:
        s3_client()
    assert SECRET not in str(caught.value)


SCREEN = """
import logging, os, sys, warnings
sys.argv = ["lesiongen", *{arguments!r}]
from lesiongen.cli import app
def failing(*given, **named):
    warnings.warn(os.environ["HF_TOKEN"])
    print(os.environ["HF_TOKEN"], flush=True)
    logging.getLogger("urllib3").warning("%s", os.environ["HF_TOKEN"])
    raise ValueError(os.environ["HF_TOKEN"] + "\\x1b[2J")
if not {arguments!r}:
    app.app = failing
app.main()
"""


@pytest.mark.parametrize("arguments", [[], ["inspect", f"--{SECRET}"], ["inspect", f"/nowhere/{SECRET}\x1b[2J"]])
def test_nothing_of_it_is_on_the_screen(arguments):
    ended = subprocess.run(
        [sys.executable, "-c", SCREEN.format(arguments=arguments)],
        capture_output=True, text=True, env={**os.environ, "HF_TOKEN": SECRET}, timeout=120,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert HIDDEN in said
    assert not any(SECRET[at : at + 8] in said for at in range(len(SECRET) - 7))
    if "inspect" not in arguments or len(arguments[1]) > len(SECRET) + 2:
        assert "\x1b" not in said
