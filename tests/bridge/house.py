"""Servers of the official SDKs behind `rune serve`, and the marks that they leave."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests import peers
from tests.rig import Rig, rig
from tests.serving import foreign
from tests.wire.client import WAIT, Client
from tests.wire.duplex import Connection, DuplexClient, StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

HERE: Final = Path(__file__).parent
UPSTREAMS: Final = ("old-stdio", "old-http", "old-sse", "new-stdio", "new-http")


class Marks:
    """What the servers have written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def set(self, name: str) -> None:
        (self.folder / name).touch()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    async def seen(self, name: str, seconds: float = WAIT) -> str:
        """What stands there, once it is there."""
        async with asyncio.timeout(seconds):
            while not self.has(name):
                await asyncio.sleep(0.01)
        return (self.folder / name).read_text()


class House(NamedTuple):
    """A running gateway, its config, and what its servers have written down."""

    server: Rig
    path: Path
    marks: Marks


def python(which: str) -> str:
    """The interpreter that knows the SDK of `old.py` or `new.py`."""
    folder = peers.sdk_legacy() if which == "old" else peers.sdk()
    return str(folder / "bin" / "python")


def command(which: str, *words: str) -> list[str]:
    """How to run `old.py` or `new.py`."""
    return [python(which), str(HERE / f"{which}.py"), *words]


def table(name: str, lines: Mapping[str, Any]) -> str:
    """A `[sources.NAME]`."""

    def shown(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + " }"
        if isinstance(value, Sequence) and not isinstance(value, str):
            return "[" + ", ".join(map(shown, value)) + "]"
        return str(value).lower() if isinstance(value, bool) else repr(str(value))

    return "\n".join([f"[sources.{name}]", *(f"{key} = {shown(value)}" for key, value in lines.items()), ""])


@contextmanager
def sources(names: Sequence[str], marks: Path, more: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The tables of these sources in a rune.toml; those that are reached by a URL are running."""
    with ExitStack() as stack:
        tables = []
        for name in names:
            which, _, wire = name.partition("-")
            environ = {"MARKS": str(marks), "WHO": name}
            if wire == "stdio":
                lines: dict[str, Any] = {"command": command(which, "stdio"), "env": environ}
            else:
                port = peers.free_port()
                stack.enter_context(foreign(command(which, wire, str(port)), port, environ))
                path = "sse" if wire == "sse" else "mcp"
                lines = {"url": f"http://127.0.0.1:{port}/{path}"}
            tables.append(table(name, {**lines, **(more or {})}))
        yield "\n".join(tables)


@contextmanager
def house(folder: Path, names: Sequence[str] = UPSTREAMS, more: Mapping[str, Any] | None = None) -> Iterator[House]:
    """`rune serve` in front of these servers."""
    marks = folder / "marks"
    marks.mkdir()
    with sources(names, marks, more) as tables:
        path = folder / "rune.toml"
        path.write_text(f"[server]\ntimeout = 30\n\n{tables}")
        with rig("--config", str(path)) as server:
            yield House(server, path, Marks(marks))


@asynccontextmanager
async def visiting(
    house: House, wire: str, revision: str, capabilities: Mapping[str, Any] | None = None
) -> AsyncIterator[Client]:
    """A client of the gateway that has shaken hands, where its revision does that."""
    client: Client
    if wire == "http":
        client = HttpClient(house.server.url, revision, capabilities)
    else:
        client = DuplexClient(Connection(await StdioLink.open("--config", str(house.path))), revision, capabilities)
        client.wire = "stdio"
    try:
        if revision != MODERN:
            await client.initialize()
        yield client
    finally:
        await client.close()


async def offering(client: Client, names: Sequence[str]) -> None:
    """Wait until the tools of all these sources are listed."""
    async with asyncio.timeout(90):
        while True:
            listed = {tool["name"].partition("_")[0] for tool in (await client.request("tools/list"))["tools"]}
            if listed >= set(names):
                return
            await asyncio.sleep(0.1)


def environment() -> dict[str, str]:
    """The environment of this process, for programs that are not ours."""
    return dict(os.environ)
