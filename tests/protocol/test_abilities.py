"""The abilities of a client as one text: the same for the same, whatever its capabilities look like."""

from __future__ import annotations

import json

import pytest

from rune.protocol.abilities import CACHED, abilities


def text(capabilities: object) -> str:
    return abilities(json.dumps(capabilities).encode())


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({"elicitation": {}}, {"elicitation": {"form": {}}}),
        ({"elicitation": {"form": {}, "url": {}}}, {"elicitation": {"url": {"a": 1}, "form": {}}}),
        ({"roots": {}}, {"roots": {"listChanged": True}}),
        ({"sampling": {"tools": {}, "other": 1}}, {"sampling": {"tools": {}}}),
        ({"sampling": {}, "roots": {}}, {"roots": {}, "sampling": {}}),
        ({"extensions": {"x/y": {"a": 1, "b": 2}}}, {"extensions": {"x/y": {"b": 2, "a": 1}}}),
        ({}, {"extensions": {"io.modelcontextprotocol/tasks": {}}, "experimental": {}}),
        ({}, {"elicitation": True, "sampling": [], "extensions": 1}),
    ],
)
def test_what_is_the_same_has_the_same_text(one: object, same: object) -> None:
    assert text(one) == text(same)


@pytest.mark.parametrize(
    "declared",
    [
        {"elicitation": {}},
        {"elicitation": {"url": {}}},
        {"elicitation": {"form": {}, "url": {}}},
        {"roots": {}},
        {"sampling": {}},
        {"sampling": {"context": {}}},
        {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["a"]}}},
        {"experimental": {"a": {}}},
    ],
)
def test_what_differs_has_another_text_and_reads_back_as_it_is_told(declared: dict[str, object]) -> None:
    others = [{}, {"roots": {}, "sampling": {}}, {"elicitation": {}, "sampling": {}}]
    assert text(declared) not in [text(other) for other in others]
    assert json.loads(text(declared)) == declared


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"1", b'"\xff"', b"[" * 100_000])
def test_what_cannot_be_read_can_do_nothing(broken: bytes) -> None:
    assert abilities(broken) == ""


def test_long_ones_are_not_remembered() -> None:
    long = {"elicitation": {}, "experimental": {"a": "x" * CACHED}}
    assert json.loads(text(long)) == long
