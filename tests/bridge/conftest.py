"""One gateway for all tests here, and for each client wire and era a client that lasts as long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.bridge.house import UPSTREAMS, House, house, offering, visiting
from tests.sizes import LONG
from tests.wire.client import ALL, Client
from tests.wire.schemas import MODERN


class Pair(NamedTuple):
    """A client wire and revision, and an upstream."""

    wire: str
    revision: str
    source: str

    @property
    def old(self) -> bool:
        """Whether the upstream is of the older era."""
        return self.source.startswith("old")

    def __str__(self) -> str:
        return f"{self.wire}-{self.revision}-{self.source}"


PAIRS = [
    Pair(wire, revision, source)
    for wire in ("http", "stdio")
    for revision in (MODERN, "2025-11-25")
    for source in UPSTREAMS
    # The oldest transport differs from stdio in nothing that the wire of a client could touch.
    if LONG or (wire, source) != ("stdio", "old-sse")
]

Come = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The gateway in front of all five."""
    with house(tmp_path_factory.mktemp("bridge")) as found:
        yield found
        assert "Traceback" not in found.server.said, found.server.said


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def come(home: House) -> AsyncIterator[Come]:
    """`await come(wire, revision, capabilities)`: clients are kept, one of each kind."""
    async with AsyncExitStack() as stack:
        kept: dict[str, Client] = {}

        async def come(wire: str, revision: str, capabilities: Mapping[str, Any] | None = None) -> Client:
            key = f"{wire} {revision} {capabilities}"
            if key not in kept:
                kept[key] = await stack.enter_async_context(visiting(home, wire, revision, capabilities))
                await offering(kept[key], UPSTREAMS)
            return kept[key]

        yield come


@pytest.fixture(params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Every client in front of every upstream."""
    found: Pair = request.param
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def asked(pair: Pair, come: Come) -> Client:
    """A client that can be asked everything."""
    client: Client = await come(pair.wire, pair.revision, ALL)
    return client


@pytest_asyncio.fixture(loop_scope="session")
async def mute(pair: Pair, come: Come) -> Client:
    """A client that cannot be asked anything."""
    client: Client = await come(pair.wire, pair.revision, {})
    return client
