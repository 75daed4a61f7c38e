"""`rune remove` and `rune list`: the sources of a config."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from rune.cli import screen
from rune.cli.examine import ESTIMATE, Examined, examine, plural
from rune.cli.options import configured, editing, served
from rune.config.edits import Draft
from rune.config.model import Config
from rune.errors import ConfigError, NotFound


def _known(ctx: click.Context, _parameter: click.Parameter, begin: str) -> list[CompletionItem]:
    """What a shell offers for a name: the sources of the file."""
    with suppress(OSError, tomllib.TOMLDecodeError):
        sources = tomllib.loads((ctx.params.get("file") or Path("rune.toml")).read_text()).get("sources", {})
        return [CompletionItem(name) for name in sources if name.startswith(begin)]
    return []


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=_known)
@editing
def remove(names: tuple[str, ...], file: Path, as_json: bool) -> None:
    """Take sources out of a rune.toml.

    \b
    rune remove github
    """
    draft = Draft(file)
    if draft.before is None:
        raise ConfigError(f"{file}: no such file", hint="--config FILE names another one")
    sources = dict(draft.at("sources") or {})
    for name in dict.fromkeys(names):
        if name not in sources:
            close = screen.closest(name, sources)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(sources) or 'none'}"
            raise NotFound(f"{file}: there is no source {name}", hint=hint)
        draft.drop(("sources", name))
    draft.save()
    if as_json:
        screen.value({"config": str(file), "removed": list(dict.fromkeys(names)), "diff": draft.diff()})
    else:
        screen.diff(draft.diff())


@click.command("list")
@served
def list_(targets: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """List the sources: their state, how many tools they offer and what those cost, their prefix.

    \b
    rune list
    rune list tools.py -- mcp-server-time
    """
    config = configured(targets, file)
    found = examine(config)
    off = _off(config)
    if as_json:
        screen.value({
            "config": None if config.path is None else str(config.path), "estimate": ESTIMATE,
            "sources": [told(each) for each in found] + [{"name": name, "state": "off"} for name in off],
        })  # fmt: skip
        return
    screen.rows(
        [
            (
                each.source.name, each.state, plural(len(each.tools), "tool"), f"about {each.tokens} tokens",
                each.source.prefix or "-", each.source.shown,
            )
            for each in found
        ]
        + [(name, "off", "", "", "", "") for name in off]
    )  # fmt: skip
    for each in found:
        if each.error is not None:
            screen.error(each.error.message, each.hint)


def _off(config: Config) -> list[str]:
    """The sources of a rune.toml that are switched off: no Config knows them."""
    if config.path is None or config.path.suffix != ".toml":
        return []
    names = {source.name for source in config.sources}
    with suppress(OSError, tomllib.TOMLDecodeError):
        return [name for name in tomllib.loads(config.path.read_text()).get("sources", {}) if name not in names]
    return []


def told(each: Examined) -> dict[str, Any]:
    """One source, as scripts read it."""
    return {
        "name": each.source.name,
        "kind": each.source.kind,
        "what": each.source.shown,
        "prefix": each.source.prefix,
        "state": each.state,
        "error": None if each.error is None else each.error.message,
        "hint": each.hint,
        "revision": each.revision,
        "server": each.server,
        "seconds": round(each.seconds, 3),
        "tools": [{"name": name, "tokens": cost} for name, cost in each.tools.items()],
        "tokens": each.tokens,
    }
