"""What may leave the process: no secret that it knows, and no character that a terminal obeys.

`redact` hides secrets in a text. It knows

- values of environment variables whose names say so (``AWS_SECRET_ACCESS_KEY``, ``HF_TOKEN``, ``…_PASSWORD``,
  ``…_API_KEY``), user and password of every address in a variable, and secret parameters of its query;
- what code has handed to `register_secret`, such as keys read from a file;
- by its form, what is between ``://`` and ``@``, secret parameters of any address, and the value of
  ``Authorization``.

A secret is found in any case and in its usual spellings (percent-encoded, escaped for JSON or HTML, Base64, also of
``user:password``). Rules of length, so that a text does not turn into gaps: under 6 characters a secret is hidden in
addresses and headers alone; one of 6 or 7 where it is a word of its own; from 8 on anywhere, and so is any
part of it of 8 characters, or of 12 where these are letters of one case, as words are.
"""

import base64
import functools
import html
import json
import os
import re
import threading
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

__all__ = ["HIDDEN", "names_secret", "printable", "redact", "register_secret", "shown"]

HIDDEN = "***"
WORD, ANYWHERE, PLAIN = 6, 8, 12
"""Lengths from which a secret is hidden as a word, anywhere, and in parts that look like words."""
_SECRET_NAME = re.compile(
    r"secret|passw(?:or)?d|passphrase|(?<![a-z])pass(?![a-z])|(?<![a-z])token(?![a-z])|api[_-]?key|access[_-]?key"
    r"|(?:private|auth|signing|encryption|master)[_-]?key|credential|signature|(?<![a-z])sig(?![a-z])|authorization",
    re.IGNORECASE,
)
# A key's id, and places where a secret lies, are none.
_NO_SECRET_NAME = re.compile(r"access[_-]?key[_-]?id$|_(?:FILE|PATH|DIR|URI|URL|ENDPOINT)$", re.IGNORECASE)
_PORT = r"(?!\d+(?:[/\s,;)\"'?#]|$))"
_USER = re.compile(rf"(?<=://)(?:[^\s/@:\"'<>]*|[^\s/@:\"'<>]*:{_PORT}(?!\s)[^@\n\"'<>]{{0,400}})@(?:[^\s/@\"'<>]*@)*")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;]([\w.%-]{1,80})=)([^&;#\s\"'<>]*[^&;#\s\"'<>,.)\]\\])")
# In JSON a backslash may precede a quote, and stays there with it.
_PAIR = r"\\[^\s\"']"
_HEADER = re.compile(
    r"(\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:(?:basic|bearer|digest|token|aws4-hmac-sha256)\s+)?)"
    rf"(?:[^\s\"'\\]|{_PAIR})(?:[^\n\"'\\]|{_PAIR})*",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(\b(?:bearer|basic)\s+)(?=[^\s\"',]*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
# Control characters, what turns the direction of writing, what cannot be seen, half of a character, and separators of
# lines that a terminal or a log may take for an end of line.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_registered: set[str] = set()
_lock = threading.Lock()


def register_secret(value: str | None) -> None:
    """Makes a secret known that is in no environment variable: from here on `redact` hides it."""
    if value:
        with _lock:
            _registered.add(value)


def names_secret(name: str) -> bool:
    """Tells whether a variable, a field or a parameter of this name holds a secret.

    >>> names_secret("AWS_SECRET_ACCESS_KEY"), names_secret("learning_rate")
    (True, False)
    """
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET_NAME.search(name)


def redact(text: str) -> str:
    """Returns a text without secrets; `HIDDEN` takes their place, users of addresses are left out.

    >>> redact("https://user:a-password@minio.example")
    'https://minio.example'
    """
    text = _known(tuple(os.environ.items()), frozenset(_registered)).hidden_in(text)
    if "://" in text:
        text = _USER.sub("", text)
    if "=" in text:
        text = _PARAMETER.sub(lambda found: found[1] + (HIDDEN if _names_parameter(found[2]) else found[3]), text)
    text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
    return _SCHEME.sub(rf"\g<1>{HIDDEN}", text)


def printable(text: str) -> str:
    r"""Returns a text in which characters that a terminal obeys are spelled out: ESC as ``\x1b``.

    Ends of lines and tabs stay. Beyond ASCII the spelling is that of JSON, which stays JSON.

    >>> print(printable("nevus" + chr(27) + "[31m"))
    nevus\x1b[31m
    """
    return _OBEYED.sub(lambda found: _spelled(ord(found[0])), text)


def shown(text: object) -> str:
    """Returns a text as it may be shown, logged or written down: `redact` and `printable`."""
    return printable(redact(str(text)))


def _spelled(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"


def _names_parameter(name: str) -> bool:
    name = unquote(name)
    return names_secret(name) or name.lower() in ("key", "auth", "code", "awsaccesskeyid")


class _Secrets:
    """Secrets, prepared for the search."""

    def __init__(self, secrets: set[str], users: set[str]) -> None:
        spelled = {form for secret in secrets for form in _spellings(secret, users) if len(form) >= WORD}
        words = [re.escape(form) for form in spelled if len(form) < ANYWHERE]
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE) if words else None
        long = [form for form in spelled if len(form) >= ANYWHERE]
        self._whole = {form.casefold() for form in long if len(form) < PLAIN}
        self._parts = {part for form in long for part in _parts(form)}

    def hidden_in(self, text: str) -> str:
        if self._words is not None:
            text = self._words.sub(HIDDEN, text)
        if not self._parts and not self._whole:
            return text
        folded = text.casefold()
        if len(folded) != len(text):  # a letter that folds to two: places would not agree
            folded = text.lower() if len(text.lower()) == len(text) else "".join(c.lower()[:1] for c in text)
        return _without(text, self._places(folded))

    def _places(self, folded: str) -> list[tuple[int, int]]:
        found = [(at, at + len(whole)) for whole in self._whole for at in _occurrences(folded, whole)]
        for length in {len(part) for part in self._parts}:
            parts = {part for part in self._parts if len(part) == length}
            last = len(folded) - length + 1
            found += [(at, at + length) for at in range(last) if folded[at : at + length] in parts]
        return sorted(found)


def _parts(form: str) -> Iterator[str]:
    for length in (ANYWHERE, PLAIN):
        for start in range(len(form) - length + 1):
            part = form[start : start + length]
            # Letters of one case are a word perhaps; its capital does not make it less of one.
            word = part.isalpha() and (part[1:].islower() or part.isupper())
            if length == PLAIN or not word:
                yield part.casefold()


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _without(text: str, places: list[tuple[int, int]]) -> str:
    kept, end = [], 0
    for start, stop in places:
        if start > end or (start == end == 0):
            kept += [text[end:start], HIDDEN]
        end = max(end, stop)
    return "".join([*kept, text[end:]]) if places else text


def _spellings(secret: str, users: set[str]) -> Iterator[str]:
    for plain in {secret, secret.strip(), unquote(secret), unquote_plus(secret)}:
        yield from (plain, repr(plain)[1:-1], html.escape(plain))
        yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
        octets = plain.encode("utf-8", "surrogatepass")
        for encoded in (quote(octets, safe=""), quote(octets), quote_plus(octets)):
            yield from (encoded, quote(encoded, safe=""))
        for text in (plain, *(f"{user}:{plain}" for user in users)):
            for coded in (base64.b64encode, base64.urlsafe_b64encode):
                yield coded(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


@functools.lru_cache(maxsize=4)
def _known(environment: tuple[tuple[str, str], ...], registered: frozenset[str]) -> _Secrets:
    secrets, users = set(registered), set()
    for name, value in environment:
        if names_secret(name) and not (os.path.isabs(value) and os.path.exists(value)):
            secrets.add(value)
        elif "USERNAME" in name.upper() and value:
            users.add(value)
        if _ADDRESS.match(value) or name.upper().endswith("_PROXY"):
            found, user = _of_address(value if "://" in value else f"http://{value}")
            secrets |= found
            users |= user
    return _Secrets({secret for secret in secrets if secret.strip()}, users)


def _of_address(address: str) -> tuple[set[str], set[str]]:
    """Returns the secrets and the user of a variable's address; the password may hold what no address should."""
    rest = address.split("://", 1)[1]
    query = rest.partition("?")[2]
    secrets = {value for name, value in parse_qsl(query, separator="&") if _names_parameter(name)}
    before, at, _ = rest.rpartition("@")
    user, colon, password = before.partition(":")
    if not at or "/" in user or (colon and re.match(r"\d+/", password)):
        return secrets, set()
    return secrets | {password if colon else user}, {unquote(user)} if colon else set()
