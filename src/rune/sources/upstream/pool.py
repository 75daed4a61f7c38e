"""The connections to one server: one for all calls, and more where an older server may ask its client something."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final, NoReturn, TypeAlias

from rune.client.calls import Lost, Refused
from rune.client.life import Life
from rune.errors import ProtocolError, TimedOut, Unavailable
from rune.parking import Parked, Parking
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS
from rune.request import ANONYMOUS, Request, Result
from rune.sources.upstream.gate import Gate, Terms

MAX_SESSIONS: Final = 100
"""Sessions beside the first one, where each call has a stream of its own."""
REPEATABLE: Final = frozenset({"resources/read", "prompts/get", "completion/complete", "tasks/get"})
"""What only asks is sent again when its server died over it. A tool may have done what it does, and must not do it
twice, whatever it says of itself."""
LEAD: Final = 0.25
QUESTIONS: Final = ("elicitation", "sampling", "roots")

NewLife: TypeAlias = Callable[[Mapping[str, Any]], Life]


class Pool:
    """`first` serves everything but the calls in which an older server may ask; those have connections of their own,
    told what the client of the call can be asked. `new_life` makes one for such a set of capabilities.

    A question that comes on no stream of a call is that of the only call there is: so where all calls share a stream,
    each call that may be asked has its connection to itself, and one comes to a connection on which the server may
    still be at the call of somebody else.
    """

    def __init__(self, new_life: NewLife, gate: Gate, terms: Terms, parking: Callable[[], Parking]) -> None:
        self.first = new_life({})
        self.name = self.first.name
        self._gate = gate
        self._terms = terms
        self._parking = parking
        self._new_life = new_life
        self._others: dict[tuple[str, bytes], list[Life]] = {}
        self._turns: deque[asyncio.Future[None]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()

    async def handle(self, request: Request) -> Result:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        request.deadline = self._due(request.deadline)
        if self.first.legacy and request.state and self._waits(request):
            # It has its place already, and whoever waits for one may be waiting for this very answer.
            return await self._go_on(request)
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
                self.freed()
        finally:
            gate.leave()
        life.worked()
        return result

    def _due(self, deadline: float | None) -> float:
        """When it has taken too long: a little before whoever asked gives up, so that the answer says who was slow."""
        now = monotonic()
        if deadline is None or deadline - now > self._terms.timeout + LEAD:
            return now + self._terms.timeout
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

    # --- calls that wait for an answer ---

    def _waits(self, request: Request) -> bool:
        entry = request.state.get(self.name)
        return isinstance(entry, dict) and "call" in entry

    async def _go_on(self, request: Request) -> Result:
        """The answers to a call that waits for them, on whichever connection it is."""
        try:
            async with asyncio.timeout_at(request.deadline):
                return await self._parking().call(request, self.name, _over)
        except TimeoutError:
            raise TimedOut(f"{self.name}: no answer to {request.method} in time") from None

    # --- which connection ---

    async def _choose(self, request: Request) -> Life:
        connection = self.first.connection or await self.first.ready(request.deadline)
        if not connection.legacy:
            return self.first
        declared = request.capabilities
        offered: dict[str, Any] = {kind: declared[kind] for kind in QUESTIONS if kind in declared}
        if "roots" in offered:
            # Nobody tells the server when they change.
            offered["roots"] = {}
        owner = request.caller.subject if self._terms.share == "caller" else ""
        if not offered and not owner:
            return self.first
        row = METHODS.get(request.method)
        alone = bool(offered) and not connection.http and row is not None and row.asks
        limit = MAX_SESSIONS if connection.http else self._terms.children
        while True:
            lives = self._others.setdefault((owner, jsonrpc.encode(offered)), [])
            life = next((life for life in lives if not (alone and _busy(life)) and not _haunted(life, request)), None)
            if life is None and (len(self._all()) < limit or self._evict()):
                life = self._new_life(offered)
                lives.append(life)
            if life is not None:
                return life
            await self._turn(request, limit)

    def _all(self) -> list[Life]:
        return [life for lives in self._others.values() for life in lives]

    def _evict(self) -> bool:
        """End an idle connection, to make room for another: one that is of no use any more, or the eldest."""
        idle = [life for life in self._all() if not _busy(life)]
        if not idle:
            return False
        life = min(idle, key=lambda life: (life.connection is None or not life.connection.ghosts, life.started_at))
        for key, lives in tuple(self._others.items()):
            if life in lives:
                lives.remove(life)
                if not lives:
                    del self._others[key]
        task = asyncio.get_running_loop().create_task(life.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return True

    async def _turn(self, request: Request, limit: int) -> None:
        """Wait until one of them may be free.

        Raises:
            Unavailable: when none came free in time.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            async with asyncio.timeout_at(request.deadline):
                await turn
        except TimeoutError:
            raise Unavailable(
                f"{self.name}: {limit} calls wait for answers of their users, and one more was not possible in time",
                hint=f"raise children of {self.name} in the config",
            ) from None
        finally:
            if turn in self._turns:
                self._turns.remove(turn)

    def freed(self) -> None:
        """A call has ended: whoever waits looks again, in the order of arrival."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*(life.close() for life in self), *self._leaving)

    def __iter__(self) -> Iterator[Life]:
        """All of them, the first one first."""
        yield self.first
        yield from self._all()


def _busy(life: Life) -> bool:
    return life.users > 0 or (life.connection is not None and life.connection.asking > 0)


def _haunted(life: Life, request: Request) -> bool:
    """Whether the server may still be at a call that somebody else has given up: what it asks then is not for us."""
    ghosts = () if life.connection is None else life.connection.ghosts
    subject = request.caller.subject
    return any(ghost != subject or ghost == ANONYMOUS.subject for ghost in ghosts)


async def _over(parked: Parked) -> NoReturn:
    raise AssertionError("a call that waits has begun")
