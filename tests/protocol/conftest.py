"""The official schemas as validators and as a source of examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import strategies as st

from rune.protocol.methods import MODERN, REVISIONS

SCHEMAS = {
    revision: json.loads((Path(__file__).parent / "schema" / revision / "schema.json").read_text("utf-8"))
    for revision in REVISIONS
}

Definitions = dict[str, dict[str, Any]]


@cache
def _definitions(revision: str) -> Definitions:
    schema = SCHEMAS[revision]
    return schema["$defs"] if "$defs" in schema else schema["definitions"]


@cache
def _validator(revision: str, name: str) -> Any:
    key = "$defs" if "$defs" in SCHEMAS[revision] else "definitions"
    schema = {"$schema": SCHEMAS[revision]["$schema"], "$ref": f"#/{key}/{name}", key: _definitions(revision)}
    return jsonschema_rs.validator_for(schema)


@pytest.fixture(scope="session")
def definitions() -> Callable[[str], Definitions]:
    """The types of a revision by name."""
    return _definitions


@pytest.fixture(scope="session")
def check() -> Callable[[str, str, Any], None]:
    """Fail unless a value is a valid instance of a type of a revision."""

    def check(revision: str, name: str, value: Any) -> None:
        errors = [f"{error.instance_path}: {error.message}" for error in _validator(revision, name).iter_errors(value)]
        assert not errors, f"{name} of {revision}: {errors}\n{json.dumps(value)[:2000]}"

    return check


@pytest.fixture(scope="session")
def instances() -> Callable[[str], st.SearchStrategy[Any]]:
    """Valid instances of a type of the modern revision, foreign members among them."""

    @cache
    def instances(name: str) -> st.SearchStrategy[Any]:
        return _strategy({"$ref": f"#/$defs/{name}"})

    return instances


_words = st.text('abcß/ \\"\n', max_size=6)
# JSONValue of the schema knows neither null nor fractions.
_scalars = st.booleans() | st.integers(-9, 9) | _words
_json = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_words, inner, max_size=2))
_SIMPLE = {
    "string": _words,
    "integer": st.integers(0, 1000),
    "number": st.floats(0, 1),
    "boolean": st.booleans(),
    "null": st.none(),
}
_FORMATS = {
    "uri": st.sampled_from(["file:///a%20b", "https://example.com/x?y#z", "note:1", "urn:a:b"]),
    "uri-template": st.sampled_from(["note://{id}", "file:///{+path}{?a,b}"]),
    "byte": st.sampled_from(["", "AAAA", "YQ=="]),
}


@cache
def _named(name: str) -> st.SearchStrategy[Any]:
    if name in ("JSONValue", "JSONObject"):
        return _json if name == "JSONValue" else st.dictionaries(_words, _json, max_size=2)
    return st.deferred(lambda: _strategy(_definitions(MODERN)[name]))


def _strategy(schema: Any) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _named(schema["$ref"].rsplit("/", 1)[1])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_strategy(option) for option in schema["anyOf"]])
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of([_SIMPLE[one] for one in kind])
    if kind == "array":
        return st.lists(_strategy(schema.get("items", {})), max_size=2)
    if kind == "object":
        return _object(schema)
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    return _SIMPLE.get(kind, st.none() | _json)


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    properties = {key: _strategy(value) for key, value in schema.get("properties", {}).items()}
    required = {key: properties.pop(key) for key in schema.get("required", []) if key in properties}
    more = schema.get("additionalProperties")
    values = _strategy(more) if isinstance(more, dict) and more else _json
    foreign = st.dictionaries(st.sampled_from(["x-foreign", "com.example/key"]), values, max_size=1)
    known = st.fixed_dictionaries(required, optional=properties)
    return st.builds(lambda others, own: {**others, **own}, foreign, known)
