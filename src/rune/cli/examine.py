"""A look at every source of a config, each at the same time: does it start, what does it speak, what does it offer?

For `rune doctor`, `list` and `add`. No tool is called.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast
from urllib.parse import urlsplit

from rune import __version__
from rune.build import build, wire_of
from rune.cli import screen
from rune.cli.diagnosis import hint_for
from rune.client.calls import Wire
from rune.client.catalog import read_catalog
from rune.client.client import Connection
from rune.config.model import Config, SourceConfig
from rune.config.targets import FILES
from rune.errors import ConfigError, NeedsAuth, RuneError, TimedOut
from rune.protocol.methods import MODERN
from rune.protocol.modern import SERVER_KEY
from rune.request import Request
from rune.seal import Seal
from rune.source import Catalog, Source
from rune.view import Mount, View, exposed

TIMEOUT: Final = 30.0
"""Seconds that a server has to start and to say what it offers: some are installed at their first start."""
SECOND_LOOK: Final = 5.0
"""Seconds for a look at another place."""
PATIENCE: Final = 0.3
LETTERS: Final = 4
"""Characters of JSON that are counted as one token."""
ESTIMATE: Final = f"name, description and input schema as JSON, {LETTERS} characters a token"


@dataclass(slots=True)
class Examined:
    """What came of one source."""

    source: SourceConfig
    state: str = "starting"
    error: RuneError | None = None
    hint: str | None = None
    stderr: list[str] = field(default_factory=list)
    seconds: float = 0.0
    revision: str | None = None
    server: dict[str, Any] = field(default_factory=dict)
    catalog: Catalog | None = None
    tools: dict[str, int] = field(default_factory=dict)
    """What it shows: exposed name -> tokens."""

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def tokens(self) -> int:
        return sum(self.tools.values())

    @property
    def summary(self) -> str:
        """One line about it."""
        if self.catalog is None:
            return screen.first_line(str(self.error)).removeprefix(f"{self.source.name}: ")
        name = f"{self.server.get('name', '')} {self.server.get('version', '')}".strip()
        parts = [self.revision, plural(len(self.tools), "tool"), f"{self.seconds:.1f} s", name]
        return ", ".join(part for part in parts if part)


def plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def examine(config: Config, timeout: float = TIMEOUT) -> list[Examined]:
    """Look at all sources. What Python files print meanwhile goes to stderr."""
    with redirect_stdout(sys.stderr):
        return asyncio.run(_all(config, timeout))


async def _all(config: Config, timeout: float) -> list[Examined]:
    found = [Examined(source) for source in config.sources]
    tasks = [asyncio.create_task(_one(each, timeout)) for each in found]
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=PATIENCE)
        while pending and screen.terminal(err=True):
            screen.status(" · ".join(_progress(each) for each in found))
            _, pending = await asyncio.wait(tasks, timeout=PATIENCE)
            if not pending:
                screen.status("")
        await asyncio.gather(*tasks)
    _names(found)
    return found


def _progress(each: Examined) -> str:
    mark = {"starting": "… starting", "ready": "✓"}.get(each.state, "✗")
    return f"{each.source.name} {mark}"


async def _one(each: Examined, timeout: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        if each.source.kind in FILES.values():
            await _own(each)
        else:
            await _server(each, timeout)
    except RuneError as error:
        each.error = error
        each.state = "starting" if isinstance(error, TimedOut) else "failed"
        each.hint = hint_for(each.source, error, each.stderr)
        if "no MCP server at this URL" in error.message and (other := await _usual_place(each.source)):
            each.hint = f"there is one at {other}"
    else:
        each.state = "ready"
    each.seconds = loop.time() - began


async def _own(each: Examined) -> None:
    """What runs in this process."""
    alone = Config(sources=(replace(each.source, prefix="", tools=()),))
    async with build(alone) as gateway, gateway:
        each.catalog = await gateway.mounts[0].source.catalog(Request("catalog"))
        each.revision, each.server = MODERN, gateway.identity.wire()


def dial(source: SourceConfig, wire: Callable[[], Wire], timeout: float = 60.0) -> Connection:
    """A connection to the server of a source, not open yet."""
    connection = Connection(wire, identity={"name": "rune", "version": __version__}, timeout=timeout)
    connection.revision = source.protocol
    return connection


async def _server(each: Examined, timeout: float) -> None:
    name = each.source.name
    connection = dial(each.source, wire_of(each.source), each.source.timeout or timeout)
    try:
        async with asyncio.timeout(timeout):
            await connection.open()
            each.revision = connection.era.revision
            each.server = (connection.discovered.get("_meta") or {}).get(SERVER_KEY) or {}
            each.catalog = await read_catalog(connection)
    except TimeoutError:
        raise TimedOut(f"{name}: not ready after {timeout:g} s") from None
    finally:
        each.stderr = connection.last_words
        await connection.close()


async def _usual_place(source: SourceConfig) -> str | None:
    """The URL at the same host where most servers live, if one is there."""
    other = urlsplit(source.place)._replace(path="/mcp", query="", fragment="").geturl()
    if other == source.place or not other.startswith("http"):
        return None
    there = replace(source, place=other)
    connection = dial(there, wire_of(there), SECOND_LOOK)
    try:
        async with asyncio.timeout(SECOND_LOOK):
            await connection.open()
    except NeedsAuth:
        return other
    except (RuneError, TimeoutError):
        return None
    else:
        return other
    finally:
        await connection.close()


@dataclass(frozen=True, eq=False)
class Named:
    """All that the rules for names want of a source."""

    name: str


def _names(found: Sequence[Examined]) -> None:
    """The names that each source gets, by the rules of the router; who comes second with a name is told."""
    mounts = [Mount(cast(Source, Named(each.source.name)), each.source.prefix, each.source.tools) for each in found]
    view = View(mounts, [each.catalog for each in found], 1000, Seal())
    for mount, each in zip(mounts, found, strict=True):
        for item in () if each.catalog is None else each.catalog.tools:
            name = exposed(mount.prefix, item.name)
            target = view.tools.get(name)
            if target is not None and target.source is mount.source:
                each.tools[name] = tokens(name, item.value)
        names = [name for source, name in view.hidden if source == each.source.name]
        hidden = [name for name in names if name in view.tools or name in view.prompts]
        if hidden:
            each.error = ConfigError(
                f"{each.source.name}: {_some(hidden)} hidden: another source offers that name first"
            )
            each.hint = f'give {each.source.name} another prefix, for example prefix = "{each.source.name}_"'


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def tokens(name: str, definition: dict[str, Any]) -> int:
    """About how many tokens a definition takes in the context of a model."""
    told = {"name": name, "description": definition.get("description", ""), "inputSchema": definition["inputSchema"]}
    return -(-len(screen.compact(told)) // LETTERS)


def needs_sign_in(each: Examined) -> bool:
    """Whether it is there, and only wants to know who we are."""
    return isinstance(each.error, NeedsAuth)
