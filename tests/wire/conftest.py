"""One server per wire for the whole session, and a client for each pair of wire and revision."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import uvicorn

from rune.app import Listen, dispatcher
from rune.app.http import asgi
from rune.build import build
from rune.config.files import read_toml
from rune.server.asgi import App
from rune.server.duplex import Duplex
from rune.wires.memory import MemoryWire
from tests.rig import Rig, config, rig
from tests.wire.client import Client
from tests.wire.duplex import Connection, DuplexClient, MemoryLink, SocketLink, SseLink, StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import LEGACY, MODERN

TOOLS = Path(__file__).with_name("tools.py")
SETTINGS = ("page_size = 3", "timeout = 30", 'max_body = "1MiB"', 'name = "wire"', 'instructions = "use it"')


class Kind(NamedTuple):
    """A wire and a revision. `mixed` wires have spoken the other era on the same connection before."""

    wire: str
    revision: str

    @property
    def modern(self) -> bool:
        return self.revision == MODERN

    def __str__(self) -> str:
        return f"{self.wire}-{self.revision}"


KINDS = [
    *(Kind("http", revision) for revision in (MODERN, "2025-11-25", "2025-06-18", "2025-03-26")),
    *(Kind("asgi", revision) for revision in (MODERN, "2025-11-25", "2025-03-26")),
    *(Kind("ws", revision) for revision in (MODERN, "2025-11-25", "2025-06-18")),
    *(Kind("stdio", revision) for revision in (MODERN, *LEGACY)),
    *(Kind("mixed-ws", revision) for revision in (MODERN, "2025-11-25")),
    *(Kind("mixed-stdio", revision) for revision in (MODERN, "2025-06-18")),
    Kind("sse", "2024-11-05"),
    *(Kind("memory", revision) for revision in (MODERN, "2025-11-25", "2024-11-05")),
]


class Wires:
    """Makes clients. Processes for stdio are kept for the session: one connection is all that they have."""

    def __init__(self, server: Rig, path: Path, stack: AsyncExitStack) -> None:
        self.server = server
        self.path = path
        self._stack = stack
        self._kept: dict[Kind, Client] = {}
        self._memory: Callable[[], Connection] | None = None
        self._asgi = ""

    async def client(self, kind: Kind, capabilities: Mapping[str, Any] | None = None) -> Client:
        """A client that has shaken hands. Without own capabilities it may be one that others have used before."""
        if "stdio" in kind.wire and capabilities is None:
            if kind not in self._kept:
                self._kept[kind] = await self._fresh(kind, None)
            return self._kept[kind]
        return await self._fresh(kind, capabilities)

    async def _fresh(self, kind: Kind, capabilities: Mapping[str, Any] | None) -> Client:
        if kind.wire in ("http", "asgi"):
            url = self.server.url if kind.wire == "http" else await self.asgi()
            client: Client = HttpClient(url, kind.revision, capabilities)
        else:
            connection = await self._connection(kind.wire)
            if kind.wire.startswith("mixed"):
                await self._other_era(connection, kind)
            client = DuplexClient(connection, kind.revision, capabilities)
            client.wire = kind.wire
        if not kind.modern:
            await client.initialize()
        return client

    async def _other_era(self, connection: Connection, kind: Kind) -> None:
        if kind.modern:
            await DuplexClient(connection, "2025-03-26").initialize()
        else:
            await DuplexClient(connection, MODERN).request("server/discover")

    async def _connection(self, wire: str) -> Connection:
        if wire.endswith("stdio"):
            return Connection(await StdioLink.open("--config", str(self.path)))
        if wire.endswith("ws"):
            return Connection(await SocketLink.open(f"ws://127.0.0.1:{self.server.port}/mcp"))
        if wire == "sse":
            return Connection(await SseLink.open(self.server.base))
        return await self.memory()

    async def memory(self) -> Connection:
        """A connection to a gateway in this process."""
        if self._memory is None:
            gateway = await self._stack.enter_async_context(build(read_toml(self.path, {})))
            await self._stack.enter_async_context(gateway)
            dispatch = dispatcher(gateway, Listen(timeout=30))
            self._memory = lambda: Connection(MemoryLink(MemoryWire(lambda way: Duplex(dispatch, way))))
        return self._memory()

    async def asgi(self) -> str:
        """The URL of the plain ASGI app, as any ASGI server would run it."""
        if not self._asgi:
            gateway = await self._stack.enter_async_context(build(read_toml(self.path, {})))
            await self._stack.enter_async_context(gateway)
            self._asgi = await self._stack.enter_async_context(
                mounted(asgi(gateway, Listen(timeout=30, max_body=2**20)))
            )
        return self._asgi

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._kept.values()))


class Quiet(uvicorn.Server):
    """Signals are the test runner's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def mounted(app: App) -> AsyncIterator[str]:
    """An ASGI app on a port, with another HTTP implementation than `rune serve` uses."""
    # With the protocol named, or asyncio does not set TCP_NODELAY and every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    settings = uvicorn.Config(
        app, http="h11", lifespan="on", log_config=None, log_level="critical", timeout_graceful_shutdown=5
    )
    server = Quiet(settings)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        await app.close()
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await serving
        listener.close()


@pytest.fixture(scope="session")
def wire_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rune.toml that all servers here run with."""
    return config(tmp_path_factory.mktemp("wire"), TOOLS, SETTINGS)


@pytest.fixture(scope="session")
def server(wire_config: Path) -> Iterator[Rig]:
    """The server for HTTP, WebSocket and HTTP+SSE."""
    with rig("--config", str(wire_config)) as found:
        yield found
        assert "Traceback" not in found.said, found.said


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def wires(server: Rig, wire_config: Path) -> AsyncIterator[Wires]:
    async with AsyncExitStack() as stack:
        wires = Wires(server, wire_config, stack)
        yield wires
        await wires.close()


Connect = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def connect(wires: Wires) -> AsyncIterator[Connect]:
    """`await connect("http", revision, capabilities)`: closed at the end of the test."""
    clients: list[Client] = []

    async def connect(wire: str, revision: str, capabilities: Mapping[str, Any] | None = None) -> Client:
        client = await wires.client(Kind(wire, revision), capabilities)
        if client not in wires._kept.values():
            clients.append(client)
        return client

    yield connect
    failed = [
        each for each in await asyncio.gather(*(each.close() for each in clients), return_exceptions=True) if each
    ]
    if failed:
        raise failed[0]


@pytest_asyncio.fixture(params=KINDS, ids=str, loop_scope="session")
async def client(request: pytest.FixtureRequest, connect: Connect) -> Client:
    """A client of every wire and revision."""
    return await connect(*request.param)


@pytest_asyncio.fixture(params=[kind for kind in KINDS if kind.modern], ids=str, loop_scope="session")
async def modern(request: pytest.FixtureRequest, connect: Connect) -> Client:
    """A client of every wire in the modern revision."""
    return await connect(*request.param)


@pytest_asyncio.fixture(params=[kind for kind in KINDS if not kind.modern], ids=str, loop_scope="session")
async def legacy(request: pytest.FixtureRequest, connect: Connect) -> Client:
    """A client of every wire and legacy revision."""
    return await connect(*request.param)
