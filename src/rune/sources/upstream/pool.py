"""The connections to one server: one for all calls, and more where an older server may ask its client something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final, TypeAlias

from rune.client.calls import Lost, Refused
from rune.client.life import Life
from rune.errors import ProtocolError, TimedOut, Unavailable
from rune.protocol import jsonrpc
from rune.request import Request, Result
from rune.sources.upstream.gate import Gate

MAX_CHILDREN: Final = 4
"""Connections beside the first one, for clients that an older server may ask something."""
REPEATABLE: Final = frozenset({"resources/read", "prompts/get", "completion/complete", "tasks/get"})
"""What only asks is sent again when its server died over it. A tool may have done what it does, and must not do it
twice, whatever it says of itself."""
LEAD: Final = 0.25
QUESTIONS: Final = ("elicitation", "sampling", "roots")

NewLife: TypeAlias = Callable[[Mapping[str, Any]], Life]


class Pool:
    """`first` serves everything but the calls in which an older server may ask; those have connections of their own,
    told what the client of the call can be asked. `new_life` makes one for such a set of capabilities."""

    def __init__(self, new_life: NewLife, gate: Gate, timeout: float) -> None:
        self.first = new_life({})
        self._gate = gate
        self._timeout = timeout
        self._new_life = new_life
        self._others: dict[str, list[Life]] = {}

    async def handle(self, request: Request) -> Result:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        request.deadline = self._due(request.deadline)
        gate = self._gate
        if gate.free > 0:
            gate.free -= 1
        else:
            await gate.wait(request.deadline)
        try:
            connection = self.first.connection
            life = self.first if connection is not None and not connection.legacy else await self._choose(request)
            life.users += 1
            try:
                result = await self._send(life, request)
            except ProtocolError:
                life.worked()
                raise
            finally:
                life.users -= 1
        finally:
            gate.leave()
        life.worked()
        return result

    def _due(self, deadline: float | None) -> float:
        """When it has taken too long: a little before whoever asked gives up, so that the answer says who was slow."""
        now = monotonic()
        if deadline is None or deadline - now > self._timeout + LEAD:
            return now + self._timeout
        return deadline - min(LEAD, (deadline - now) / 10)

    async def _send(self, life: Life, request: Request) -> Result:
        connection = life.connection or await life.ready(request.deadline)
        try:
            return await connection.handle(request)
        except Refused:
            raise
        except TimedOut:
            life.unanswered(connection)
            raise
        except Lost as lost:
            life.doubt(connection, lost)
            if lost.sent and request.method not in REPEATABLE:
                raise
        except Unavailable as error:
            life.doubt(connection, error)
            raise
        connection = await life.ready(request.deadline)
        return await connection.handle(request)

    async def _choose(self, request: Request) -> Life:
        """Servers of the older revisions know only one client per connection: one for each set of capabilities, and
        where all calls share a stream, one for each call in which the server may ask."""
        connection = self.first.connection or await self.first.ready(request.deadline)
        if not connection.legacy:
            return self.first
        declared = request.capabilities
        offered: dict[str, Any] = {kind: declared[kind] for kind in QUESTIONS if kind in declared}
        if not offered:
            return self.first
        key = jsonrpc.encode(offered).decode()
        pool = self._others.setdefault(key, [])
        for life in pool:
            if connection.http or not (life.users or (life.connection is not None and life.connection.asking)):
                return life
        if sum(map(len, self._others.values())) < MAX_CHILDREN:
            pool.append(self._new_life(offered))
            return pool[-1]
        # Full: it is still answered, but nobody can be asked who it is for.
        return min(pool, key=lambda life: life.users, default=self.first)

    def __iter__(self) -> Iterator[Life]:
        """All of them, the first one first."""
        yield self.first
        for pool in self._others.values():
            yield from pool
