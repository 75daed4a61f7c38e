"""`rune check`: is the config good? Nothing is started, no file of tools is run."""

from __future__ import annotations

from pathlib import Path

import click

from rune.cli import screen
from rune.cli.options import configured, served


@click.command()
@served
def check(targets: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Check a config and show its sources, without starting anything.

    \b
    rune check                           ./rune.toml or ./mcp.json
    rune check --config rune.toml
    rune check tools.py mcp.json -- mcp-server-time
    """
    config = configured(targets, file)
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
    if as_json:
        screen.value({"ok": True, "config": None if config.path is None else str(config.path), "sources": shown})
        return
    screen.rows([(entry["name"], entry["kind"], entry["prefix"] or "-", entry["what"]) for entry in shown])
    count = f"{len(shown)} source{'' if len(shown) == 1 else 's'}"
    screen.err(f"{config.path or 'targets'}: ok, {count}")
