"""`key=value key:=json` on the command line, or one JSON object, as the arguments of a tool or prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import click

_WORD: Final = re.compile(r"(?P<key>[^=]+?)(?P<kind>:?=)(?P<value>.*)", re.DOTALL)
_KEYWORDS: Final = {"true": True, "false": False}


def needs_schema(words: Sequence[str]) -> bool:
    """Whether a word stands there whose type only the schema knows."""
    return any(match is not None and match["kind"] == "=" for match in map(_WORD.fullmatch, words))


def parse(words: Sequence[str], schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """The arguments. `key=value` becomes what the schema says where that is clear, else it stays a string.

    Raises:
        click.UsageError: for a word of another shape.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        whole: dict[str, Any] = _json(words[0], "the argument")
        return whole
    found: dict[str, Any] = {}
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None:
            raise click.UsageError(f"{word!r} is neither key=value, key:=json nor a JSON object")
        key, text = match["key"], match["value"]
        if key in found:
            raise click.UsageError(f"{key} is given twice")
        found[key] = _json(text, key) if match["kind"] == ":=" else convert(text, types_of(schema or {}, key))
    return found


def _json(text: str, key: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise click.UsageError(f"{key}: no JSON: {error}") from None


def convert(text: str, types: frozenset[str]) -> Any:
    """A text as one of these JSON types. What does not fit stays as it is, and the server says what is wrong."""
    if not types or "string" in types:
        return text
    if "boolean" in types and text in _KEYWORDS:
        return _KEYWORDS[text]
    if "null" in types and text == "null":
        return None
    if types & {"integer", "number"} and re.fullmatch(r"-?\d+", text):
        return int(text)
    if "number" in types and re.fullmatch(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        return float(text)
    if ("object" in types and text.startswith("{")) or ("array" in types and text.startswith("[")):
        try:
            return json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            return text
    return text


def types_of(schema: dict[str, Any], key: str) -> frozenset[str]:
    """The JSON types that a schema allows for one of its properties; none when it does not say."""
    properties = schema.get("properties")
    child = properties.get(key) if isinstance(properties, dict) else None
    return frozenset(_types(schema, child, 8))


def _types(root: dict[str, Any], schema: Any, depth: int) -> set[str]:
    if not isinstance(schema, dict) or depth == 0:
        return set()
    found: set[str] = set()
    declared = schema.get("type")
    if isinstance(declared, str):
        found.add(declared)
    elif isinstance(declared, list):
        found.update(name for name in declared if isinstance(name, str))
    for options in (schema.get("anyOf"), schema.get("oneOf")):
        for option in options if isinstance(options, list) else ():
            found |= _types(root, option, depth - 1)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not found and isinstance(values, list):
        found.update(_name(value) for value in values)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        found |= _types(root, target, depth - 1)
    return found


def _name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"
