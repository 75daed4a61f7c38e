"""`rune plugins list|show|bench`: the plugins of a config, made but not serving."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from rune.cli import late, screen
from rune.cli.options import configured, configuring, plugging
from rune.errors import ConfigError, NotFound, RuneError
from rune.pipeline import Pipeline
from rune.plugged import Plugged
from rune.plugin import Plugin, PluginCondition, PluginConfig
from rune.request import Caller
from rune.steps import Running
from rune.store import MemoryStore
from rune.turn import Turn

TEXT: Final = "the quick brown fox jumps over the lazy dog, and so on: " * 18
"""About 1 kB in which there is nothing to find."""
CALLS: Final = 2000


@click.group()
def plugins() -> None:
    """List, show and measure the plugins of a config.

    \b
    rune plugins list
    rune plugins show pii_filter
    rune plugins bench
    """


@plugins.command("list")
@plugging
@configuring
def list_(file: Path | None, plugins: Path | None, as_json: bool) -> None:
    """List the plugins in the order in which they run: name, mode, priority, what they are made of, hooks."""
    found = [_described(*each) for each in _made(file, plugins)]
    if as_json:
        screen.value({"plugins": found})
        return
    screen.rows(
        [
            (each["name"], each["mode"], str(each["priority"]), each["implementation"], " ".join(each["hooks"]) or "-")
            for each in found
        ]
    )


@plugins.command()
@click.argument("name")
@plugging
@configuring
def show(name: str, file: Path | None, plugins: Path | None, as_json: bool) -> None:
    """Show one plugin: what it does, and all of its settings. Its own `config` is not shown: there may be secrets."""
    plugin, config = _named(name, _made(file, plugins))
    found = _described(plugin, config)
    found |= {
        "on_error": str(config.on_error),
        "deadline": config.deadline,
        "max_content_size": int(config.max_content_size),
        "conditions": [_given(each) for each in config.conditions],
        "config_keys": sorted(config.config),
        "does": inspect.cleandoc(type(plugin).__doc__ or ""),
    }
    if as_json:
        screen.value(found)
        return
    screen.rows([(key, _said(value)) for key, value in found.items() if key != "does"])
    if found["does"]:
        screen.out("\n" + found["does"])


@plugins.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@plugging
@configuring
def bench(names: tuple[str, ...], file: Path | None, plugins: Path | None, as_json: bool) -> None:
    """Measure what each plugin costs a call with 1 kB of text: microseconds of this processor, before and after the
    call."""
    made = _made(file, plugins)
    chosen = [_named(name, made) for name in names] or made
    found = asyncio.run(_measured(chosen))
    if as_json:
        screen.value({"plugins": found})
        return
    screen.rows(
        [
            (each["name"], each["implementation"], *(f"{hook} {each[hook]}" for hook in _WORK if hook in each))
            for each in found
        ]
    )


def _made(file: Path | None, plugins: Path | None) -> list[tuple[Plugin, PluginConfig]]:
    config = configured((), file, plugins)
    if not config.plugins:
        raise ConfigError(f"{config.path or 'the config'}: has no plugins", hint='[[plugins]] use = "pii_filter"')
    made = Plugged(late, MemoryStore()).made(config)
    return sorted(made, key=lambda pair: pair[1].priority)


def _named(name: str, made: list[tuple[Plugin, PluginConfig]]) -> tuple[Plugin, PluginConfig]:
    for pair in made:
        if pair[1].name == name:
            return pair
    names = [config.name for _, config in made]
    close = screen.closest(name, names)
    raise NotFound(f"no plugin {name}", hint=f"did you mean {close}?" if close else f"there are {', '.join(names)}")


def _described(plugin: Plugin, config: PluginConfig) -> dict[str, Any]:
    running = Running(plugin, config)
    return {
        "name": config.name,
        "use": config.kind,
        "mode": str(config.mode),
        "priority": config.priority,
        "implementation": plugin.implementation,
        "hooks": [*running.hooks(), *(["handle"] if running.wraps() else [])],
    }


def _given(condition: PluginCondition) -> dict[str, Any]:
    return {key: list(getattr(condition, key)) for key in condition.__slots__ if getattr(condition, key)}


def _said(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(each if isinstance(each, str) else screen.compact(each) for each in value) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORK: Final[dict[str, dict[str, Any]]] = {
    "tool_pre_invoke": {"name": "echo", "args": {"text": TEXT}},
    "tool_post_invoke": {"result": {"resultType": "complete", "content": [{"type": "text", "text": TEXT}]}},
}
_WHO: Final = Caller("bench")


async def _measured(chosen: list[tuple[Plugin, PluginConfig]]) -> list[dict[str, Any]]:
    found = []
    for plugin, config in chosen:
        entry: dict[str, Any] = {"name": config.name, "implementation": plugin.implementation}
        async with Pipeline([(plugin, config)]) as pipeline:
            for hook, values in _WORK.items():
                if pipeline.has(hook):
                    raw = {key: msgspec.json.encode(value) for key, value in values.items()}
                    entry[hook] = await _cost(pipeline, hook, raw)
        found.append(entry)
    return found


async def _cost(pipeline: Pipeline, hook: str, raw: dict[str, bytes]) -> float | str:
    """Microseconds; or why there are none."""
    began = time.process_time_ns()
    try:
        for _ in range(CALLS):
            await pipeline.run(hook, dict(raw), Turn(caller=_WHO, kind="tools", name="echo"))
    except RuneError as error:
        return error.message
    return round((time.process_time_ns() - began) / CALLS / 1000, 2)
