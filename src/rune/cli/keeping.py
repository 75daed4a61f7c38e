"""Secrets that a verb comes across: asked for on a terminal only, and kept in the vault when all else has gone well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from rune.cli import VAULT, late, screen
from rune.config.takeover import Taken

_SECRET: Final = re.compile(r"\$\{secret:([A-Za-z_][A-Za-z0-9_.-]*)\}")


def missing(value: Any, environ: Mapping[str, str]) -> list[str]:
    """The secrets that a table refers to and that nobody has yet."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return list(dict.fromkeys(name for each in value for name in missing(each, environ)))
    names = _SECRET.findall(value) if isinstance(value, str) else []
    return [name for name in names if environ.get(f"secret:{name}") is None]


def ask_for(names: Iterable[str]) -> dict[str, str]:
    """Ask for values, under the names that configs are filled in from. An empty answer leaves one out, and so does
    the lack of a terminal."""
    if not screen.interactive():
        return {}
    answers = {
        f"secret:{name}": click.prompt(f"value of {name}", default="", hide_input=True, show_default=False, err=True)
        for name in dict.fromkeys(names)
    }
    return {name: value for name, value in answers.items() if value}


def ask_about(taken: Iterable[Taken]) -> dict[str, str]:
    """The same for sources that were taken over: what is answered is not wanted any more."""
    taken = list(taken)
    answers = ask_for(name for each in taken for name in each.asks)
    for each in taken:
        each.asks = [name for name in each.asks if f"secret:{name}" not in answers]
    return answers


def keep(secrets: Mapping[str, str]) -> None:
    """Keep them in the vault."""
    for name, value in secrets.items():
        late(VAULT)().keep(name.removeprefix("secret:"), value)
