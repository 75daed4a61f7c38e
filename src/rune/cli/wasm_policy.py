"""`rune wasm inspect|grant|revoke`: what a component asks for, and what it gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from rune.build import late, policy_of
from rune.cli import screen
from rune.config import places
from rune.config.model import SourceConfig

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("inspect")
@click.argument("file", type=FILE)
@click.option("--tools", "run", is_flag=True, help="Run it without any grant, for the names of what it offers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: Path, run: bool, as_json: bool) -> None:
    """Show what a component imports, exports and asks for. Nothing of it runs unless --tools says so.

    \b
    rune wasm inspect tools.wasm
    """
    cache = places.cache(os.environ) / "wasm"
    if screen.terminal(err=True):
        screen.status(f"reading {file.name}")
    found: dict[str, Any] = late("look")(file, cache)
    found["policy"] = _shown(policy_of(SourceConfig(file.stem, "wasm", place=str(file.resolve()))))
    if run:
        found |= late("offers")(file, cache)
    if as_json:
        screen.value(found)
        return
    rows = [(key, screen.clean(each)) for key, value in found.items() for each in _lines(value)]
    screen.rows(rows)


def _shown(policy: Any) -> dict[str, Any]:
    """A policy without what is secret in it."""
    value: dict[str, Any] = msgspec.to_builtins(policy, enc_hook=int)
    value["environment"] = sorted(value["environment"])
    for each in value["network"]:
        each["inject"] = sorted(each["inject"])
    return value


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key} = {msgspec.json.encode(each).decode()}" for key, each in value.items()]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


@click.command("grant")
@click.argument("file", type=FILE)
@click.argument("grants", nargs=-1, required=True)
def grant(file: Path, grants: tuple[str, ...]) -> None:
    """Let a component do something: in the policy beside it, which a running gateway reads again.

    \b
    rune wasm grant tools.wasm storage=./data:/data network=api.example.org
    rune wasm grant tools.wasm storage=./out:/out:write environment=LEVEL=3
    """
    screen.out(str(late("grant")(file, grants)))


@click.command("revoke")
@click.argument("file", type=FILE)
@click.argument("grants", nargs=-1, required=True)
def revoke(file: Path, grants: tuple[str, ...]) -> None:
    """Take back what was granted.

    \b
    rune wasm revoke tools.wasm network=api.example.org
    """
    screen.out(str(late("revoke")(file, grants)))
