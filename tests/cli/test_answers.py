"""Questions of a tool, answered on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from rune.cli import answers, screen

Ask = Callable[[dict[str, Any], str], Mapping[str, Any] | None]


@pytest.fixture
def answer() -> Ask:
    """Answer an elicitation by typing."""

    def typed(params: dict[str, Any], text: str) -> Mapping[str, Any] | None:
        with CliRunner().isolation(input=text):
            return answers.ask(params)

    return typed


def form(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"message": "Please", "requestedSchema": schema}


def test_fields_get_the_types_of_the_schema(answer: Ask) -> None:
    params = form(
        name={"type": "string"},
        age={"type": "integer", "title": "Age", "description": "in years"},
        score={"type": "number"},
        sure={"type": "boolean"},
    )
    assert answer(params, "Anna\n30\n1.5\ntrue\n") == {
        "action": "accept", "content": {"name": "Anna", "age": 30, "score": 1.5, "sure": True},
    }  # fmt: skip


def test_what_does_not_fit_is_asked_again(answer: Ask) -> None:
    assert answer(form(age={"type": "integer"}), "old\n30\n") == {"action": "accept", "content": {"age": 30}}
    colours = {"type": "string", "enum": ["red", "blue"]}
    assert answer(form(colour=colours), "green\nblue\n") == {"action": "accept", "content": {"colour": "blue"}}


def test_empty_answers(answer: Ask) -> None:
    params = form(("name",), name={"type": "string"}, note={"type": "string"}, age={"type": "integer", "default": 30})
    assert answer(params, "\nAnna\n\n\n") == {"action": "accept", "content": {"name": "Anna", "age": 30}}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}, "b", "b"),
        ({"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}, "a, b", ["a", "b"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a"}, {"const": "b"}]}}, "x\nb", ["b"]),
        ({"type": "array", "items": {"type": "string"}, "default": ["p", "q"]}, "", ["p", "q"]),
        ({"type": "boolean", "default": False}, "", False),
        ({"enum": [1, 2]}, "2", 2),
        ({}, "anything", "anything"),
        (True, "anything", "anything"),
    ],
)
def test_kinds_of_fields(answer: Ask, field: Any, text: str, value: Any) -> None:
    assert answer(form(it=field), f"{text}\n") == {"action": "accept", "content": {"it": value}}


def test_leaving_cancels(answer: Ask) -> None:
    assert answer(form(("name",), name={"type": "string"}), "") == {"action": "cancel"}


def test_a_question_without_fields_is_accepted(answer: Ask) -> None:
    assert answer({"message": "Go on?"}, "") == {"action": "accept", "content": {}}


def test_a_url_is_opened_by_the_user(answer: Ask) -> None:
    params = {"mode": "url", "message": "Sign in", "url": "https://example.org/x"}
    assert answer(params, "y\n") == {"action": "accept"}
    assert answer(params, "n\n") is None


async def test_without_a_terminal_everything_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "interactive", lambda: False)
    assert await answers.elicit({"message": "Who?"}) is None
    monkeypatch.setattr(screen, "interactive", lambda: True)
    monkeypatch.setattr(answers, "ask", lambda params: {"action": "accept", "content": params})
    assert await answers.elicit({"a": 1}) == {"action": "accept", "content": {"a": 1}}
