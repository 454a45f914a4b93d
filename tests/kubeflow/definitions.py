"""The definitions of the v2beta1 REST API, and what they refuse."""

import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema

ROOT = Path(__file__).parent.parent.parent
_SHARED = os.environ.get("LESIONGEN_SHARED_DATA")
SWAGGER = (Path(_SHARED).parent if _SHARED else ROOT.parent / "shared") / "kfp-api" / "kfp_api_v2beta1.swagger.json"
"""The API's own description; where it is absent, bodies are not checked."""


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Definitions:
    """The API's own description, where there is one."""

    def __init__(self) -> None:
        self._document = json.loads(SWAGGER.read_text(encoding="utf-8")) if SWAGGER.exists() else None
        self._closed: dict[str, Any] = {}

    def check_body(self, definition: str, body: Any) -> None:
        """Refuses a body that the description does not allow, as the server's parser does."""
        if problem := self._problem({"$ref": f"#/definitions/{definition}"}, body):
            raise Problem(400, problem)

    def check_answer(self, method: str, path: str, answer: Any) -> None:
        """Checks an answer of the double, which must be one of the API's."""
        for template, methods in (self._document or {"paths": {}})["paths"].items():
            if method.lower() in methods and re.fullmatch(re.sub(r"{[^}]+}", "[^/:]+", template), path):
                schema = methods[method.lower()]["responses"]["200"]["schema"]
                problem = self._problem(schema, answer)
                assert not problem, f"{method} {path}: {problem}"

    def _problem(self, schema: dict[str, Any], value: Any) -> str | None:
        if self._document is None:
            return None
        if not self._closed:
            self._closed = {name: _closed(each) for name, each in self._document["definitions"].items()}
        validator = jsonschema.Draft4Validator({**schema, "definitions": self._closed})
        problem = next(iter(validator.iter_errors(value)), None)
        return problem and f"{'.'.join(map(str, problem.absolute_path))}: {problem.message}"


def _closed(schema: Any) -> Any:
    """Returns a schema that allows no other properties, and numbers where protobuf's JSON has texts of them."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items() if key != "format"}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    if schema.get("format") == "int64":
        closed["type"] = ["string", "integer"]
    return closed
