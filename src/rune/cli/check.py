"""`rune check`: is the config good? Nothing is started, no file of tools is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from rune.cli import screen
from rune.cli.options import configured, plugging, served


@click.command()
@plugging
@served
def check(targets: tuple[str, ...], file: Path | None, plugins: Path | None, as_json: bool) -> None:
    """Check a config and show its sources, profiles and plugins, without starting anything.

    \b
    rune check                           ./rune.toml or ./mcp.json
    rune check --config rune.toml
    rune check tools.py mcp.json -- mcp-server-time
    """
    config = configured(targets, file, plugins)
    shown = [
        {
            "name": source.name,
            "kind": source.kind,
            "what": source.shown,
            "prefix": source.prefix,
            "origin": source.origin,
        }
        for source in config.sources
    ]
    profiles = {name: msgspec.to_builtins(table) for name, table in config.profiles.items()}
    if as_json:
        path = None if config.path is None else str(config.path)
        found = [{"name": each.name or each.use, **msgspec.to_builtins(each)} for each in config.plugins]
        screen.value({"ok": True, "config": path, "sources": shown, "profiles": profiles, "plugins": found})
        return
    screen.rows([(entry["name"], entry["kind"], entry["prefix"] or "-", entry["what"]) for entry in shown])
    screen.rows([(name, "profile", f"/mcp/{name}", _globs(table)) for name, table in profiles.items()])
    screen.rows([(each.name or each.use, "plugin", each.mode, each.use) for each in config.plugins])
    count = f"{len(shown)} source{'' if len(shown) == 1 else 's'}"
    more = f", {len(profiles)} profile{'' if len(profiles) == 1 else 's'}" if profiles else ""
    more += f", {len(config.plugins)} plugin{'' if len(config.plugins) == 1 else 's'}" if config.plugins else ""
    screen.err(f"{config.path or 'targets'}: ok, {count}{more}")


def _globs(profile: dict[str, Any]) -> str:
    """What a profile shows, on one line."""
    return "; ".join(f"{kind} {' '.join(globs)}" for kind, globs in profile.items() if globs) or "nothing"
