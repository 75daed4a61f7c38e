"""Questions of a tool to the user, asked on the terminal. Without one they are declined."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from rune.cli import screen
from rune.cli.arguments import convert, types_of


async def elicit(params: dict[str, Any]) -> Mapping[str, Any] | None:
    """Answer an elicitation; None declines it."""
    if not screen.interactive():
        return None
    # A thread, because progress of other calls goes on while the user thinks.
    return await asyncio.to_thread(ask, params)


def ask(params: dict[str, Any]) -> Mapping[str, Any] | None:
    """Put the question and its fields to the user. An empty answer to a field that may be left out leaves it out."""
    screen.err(screen.paint(screen.clean(str(params.get("message", ""))), "bold", err=True))
    if params.get("mode") == "url":
        screen.err(f"  {screen.clean(str(params.get('url', '')))}")
        return {"action": "accept"} if click.confirm("Have you opened it?", err=True) else None
    schema = params.get("requestedSchema") or {}
    required = schema.get("required") or ()
    content: dict[str, Any] = {}
    try:
        for name, field in (schema.get("properties") or {}).items():
            value = _field(schema, name, field if isinstance(field, dict) else {}, name in required)
            if value is not None:
                content[name] = value
    except click.Abort:
        screen.err("")
        return {"action": "cancel"}
    return {"action": "accept", "content": content}


def _field(schema: dict[str, Any], name: str, field: dict[str, Any], required: bool) -> Any:
    """The value of one field, asked for until it fits."""
    types = types_of(schema, name)
    choices = _choices(field)
    label = screen.clean(str(field.get("title") or name))
    if field.get("description"):
        label += f" ({screen.clean(str(field['description']))})"
    if choices:
        label += f" [{', '.join(choices)}]"
    default = field.get("default")
    while True:
        text = click.prompt(
            f"  {label}", default="" if default is None else _shown(default), show_default=default is not None, err=True
        )
        if not text:
            if not required:
                return None
        elif "array" in types:
            picked = [part.strip() for part in text.split(",")]
            if not choices or set(picked) <= set(choices):
                return picked
        elif choices:
            if text in choices:
                return choices[text]
        else:
            value = convert(text, types)
            if isinstance(value, str) == ("string" in types or not types):
                return value
        screen.err(f"    {text or 'nothing'}: not {_wanted(types, choices)}")


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


def _wanted(types: frozenset[str], choices: Mapping[str, Any]) -> str:
    return "one of " + ", ".join(choices) if choices else " or ".join(sorted(types)) or "accepted"


def _choices(field: dict[str, Any]) -> dict[str, Any]:
    """What may be picked, under the text that picks it."""
    items = field.get("items")
    for place in (field, items if isinstance(items, dict) else {}):
        if isinstance(place.get("enum"), list):
            return {str(value): value for value in place["enum"]}
        for key in ("oneOf", "anyOf"):
            if isinstance(place.get(key), list):
                return {
                    str(one["const"]): one["const"] for one in place[key] if isinstance(one, dict) and "const" in one
                }
    return {}
