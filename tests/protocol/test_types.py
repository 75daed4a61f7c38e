"""`protocol.types` against the official schema."""

from __future__ import annotations

import typing
from typing import Any, get_args, is_typeddict

import pytest

from rune.protocol import types

TYPES = {name: value for name, value in vars(types).items() if is_typeddict(value) and name[0] != "_"}

# Objects that the schema spells out in place: type -> where.
INLINE = {
    "SamplingCapability": ("ClientCapabilities", "sampling"),
    "ElicitationCapability": ("ClientCapabilities", "elicitation"),
    "ListCapability": ("ServerCapabilities", "tools"),
    "ResourcesCapability": ("ServerCapabilities", "resources"),
    "Completion": ("CompleteResult", "completion"),
}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_keys_are_those_of_the_schema(name, definitions):
    known = definitions("2026-07-28")
    if name in INLINE:
        owner, key = INLINE[name]
        schema = known[owner]["properties"][key]
    else:
        schema = known[name]
    assert set(TYPES[name].__annotations__) == set(schema.get("properties", {}))
    assert _required(TYPES[name]) == set(schema.get("required", []))


def test_prompt_list_capability_is_the_one_of_tools(definitions):
    capabilities = definitions("2026-07-28")["ServerCapabilities"]["properties"]
    assert set(capabilities["prompts"]["properties"]) == set(capabilities["tools"]["properties"])


@pytest.mark.parametrize("name", ["Role", "LoggingLevel"])
def test_enumerations_are_those_of_the_schema(name, definitions):
    assert set(get_args(getattr(types, name))) == set(definitions("2026-07-28")[name]["enum"])


@pytest.mark.parametrize("name", ["ContentBlock", "SamplingMessageContentBlock", "InputRequest", "InputResponse"])
def test_unions_are_those_of_the_schema(name, definitions):
    options = {option["$ref"].rsplit("/", 1)[1] for option in definitions("2026-07-28")[name]["anyOf"]}
    assert {option.__name__ for option in get_args(getattr(types, name))} == options


@pytest.mark.parametrize("name", sorted(TYPES))
def test_constants_and_enumerations_of_members(name, definitions):
    schema = definitions("2026-07-28").get(name, {}).get("properties", {})
    hints = typing.get_type_hints(TYPES[name])
    for key, hint in hints.items():
        allowed = schema.get(key, {})
        if "$ref" in allowed:
            continue
        values: Any = [allowed["const"]] if "const" in allowed else allowed.get("enum")
        assert _literals(hint) == (None if values is None else set(values)), f"{name}.{key}"


def _literals(hint: Any) -> set[Any] | None:
    return set(get_args(hint)) if typing.get_origin(hint) is typing.Literal else None


def _required(kind: Any) -> set[str]:
    """`__required_keys__` is blind under postponed annotations: read the hints."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {key for key, hint in hints.items() if typing.get_origin(hint) is not typing.NotRequired}
