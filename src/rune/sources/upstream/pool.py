"""The connections to one server: one for all calls, and where an older revision is spoken, more for its clients."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final, NoReturn, TypeAlias

from rune.client.calls import Lost, Refused
from rune.client.life import Life
from rune.errors import INTERNAL_ERROR, ProtocolError, TimedOut, Unavailable
from rune.parking import Parked, Parking
from rune.protocol.methods import METHODS
from rune.request import ANONYMOUS, Request, Result
from rune.sources.upstream.gate import Gate, Terms

MAX_SESSIONS: Final = 100
"""Sessions beside the first one, where each call has a stream of its own."""
REPEATABLE: Final = frozenset({"resources/read", "prompts/get", "completion/complete", "tasks/get"})
"""What only asks is sent again when its server died over it. A tool may have done what it does, and must not do it
twice, whatever it says of itself."""
LEAD: Final = 0.25
OLDER: Final = "older "
"""Before the abilities of a client of an older revision, at a server that speaks both."""
SINGLE: Final = 600.0
"""Seconds until a server that refused the handshake of an older revision is tried with it again."""
INVALID: Final = "invalid result"
QUESTIONS: Final = ("elicitation", "sampling", "roots")

Key: TypeAlias = tuple[str, str]
"""Whose connections they are, where callers do not share them, and their facet."""
FIRST: Final[Key] = ("", "")
NewLife: TypeAlias = Callable[[str], Life]


class Pool:
    """`first` serves everything but the calls of clients that an older server must know more of; those have connections
    of their own. `new_life` makes one for a facet: the abilities of the client, which the server is told, and whether
    it speaks an older revision. A server that speaks both is spoken to in the client's: some can ask only there.

    A question that comes on no stream of a call is that of the only call there is: so where all calls share a stream,
    each call that may be asked has its connection to itself, and one comes to a connection on which the server may
    still be at the call of somebody else.
    """

    def __init__(self, new_life: NewLife, gate: Gate, terms: Terms, parking: Callable[[], Parking]) -> None:
        self.first = new_life("")
        self.name = self.first.name
        self._gate = gate
        self._terms = terms
        self._parking = parking
        self._new_life = new_life
        self._others: dict[Key, list[Life]] = {}
        self._single_until = 0.0
        self.leads: Callable[[Life], bool] = lambda life: False
        """Whether somebody listens to a connection: it is the last one that makes room for another."""
        self.on_end: Callable[[Life], None] = lambda life: None
        self._turns: deque[asyncio.Future[None]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()

    async def handle(self, request: Request) -> Result:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        request.deadline = self._due(request.deadline)
        if request.state and self._waits(request):
            # It has its place already, and whoever waits for one may be waiting for this very answer.
            return await self._go_on(request)
        gate = self._gate
        if gate.free > 0:
            gate.free -= 1
        else:
            await gate.wait(request.deadline)
        try:
            connection = self.first.connection
            plain = connection is not None and not (connection.legacy or request.older)
            life = self.first if plain else await self._choose(request)
            life.users += 1
            try:
                result = await self._send(life, request)
            except ProtocolError as error:
                life.worked()
                if not _asked_newer(life, request, error):
                    raise
                result = await self._ask_newer(request)
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

    async def _ask_newer(self, request: Request) -> Result:
        """Ask again in the newest revision. If that was it, all clients of this server are served in that one."""
        result = await self._send(self.first, request)
        if result.kind == "input_required":
            self._single_until = float("inf")
        return result

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

    def key(self, request: Request) -> Key:
        """Which connections serve a request; `FIRST` is the first one alone."""
        connection = self.first.connection
        if connection is None or not (connection.legacy or request.older):
            return FIRST
        abilities = request.abilities
        if connection.legacy:
            return request.caller.subject if self._terms.share == "caller" else "", abilities
        settled = self._terms.revision is not None or monotonic() < self._single_until
        return ("", OLDER + abilities) if abilities and not settled else FIRST

    def key_of(self, life: Life) -> Key:
        """Which connections one belongs to."""
        return next((key for key, lives in self._others.items() if life in lives), FIRST)

    def main(self, key: Key) -> Life | None:
        """The connection that shows what is offered there; None when there is no room for it."""
        if not key[1]:
            return self.first
        lives = self._others.get(key)
        return lives[0] if lives else self._another(key)

    def refused(self, key: Key) -> None:
        """There is no such connection. A server that speaks the newest revision alone need not be asked again soon."""
        lives = self._others.get(key)
        if key[1].startswith(OLDER) and lives and lives[0].error is not None:
            self._single_until = monotonic() + SINGLE

    async def _choose(self, request: Request) -> Life:
        connection = self.first.connection or await self.first.ready(request.deadline)
        key = self.key(request)
        if key == FIRST:
            return self.first
        row = METHODS.get(request.method)
        asks = row is not None and row.asks and any(kind in request.capabilities for kind in QUESTIONS)
        alone = asks and not connection.http
        while True:
            lives = self._others.get(key, [])
            usable = [life for life in lives if life.error is None or life.retry_at <= monotonic()]
            if lives and not usable and not key[0]:
                # It could not be started just now: what the first one can do is better than nothing.
                return self.first
            free = (life for life in usable if not (alone and _busy(life)) and not _haunted(life, request))
            life = next(free, None) or self._another(key)
            if life is not None:
                life.wanted_at = monotonic()
                return life
            await self._turn(request, self._limit())

    def _limit(self) -> int:
        connection = self.first.connection
        return MAX_SESSIONS if connection is not None and connection.http else self._terms.children

    def _another(self, key: Key) -> Life | None:
        """One more connection; None when there are enough and all are in use."""
        if len(self._all()) >= self._limit() and not self._evict():
            return None
        life = self._new_life(key[1])
        # What the first one has found out need not be found out again, and must not come out otherwise.
        life.legacy = self.first.legacy
        life.wanted_at = monotonic()
        self._others.setdefault(key, []).append(life)
        return life

    def _all(self) -> list[Life]:
        return [life for lives in self._others.values() for life in lives]

    def _evict(self) -> bool:
        """End an idle connection, to make room for another: one that is of no use any more, or else the one that nobody
        has wanted for longest."""
        idle = [life for life in self._all() if not (_busy(life) or (life.connection and life.connection.calling))]
        if not idle:
            return False
        life = min(idle, key=lambda life: (self.leads(life), not _left(life), life.wanted_at))
        for key, lives in tuple(self._others.items()):
            if life in lives:
                lives.remove(life)
                if not lives:
                    del self._others[key]
        self.on_end(life)
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


def _left(life: Life) -> bool:
    """Whether a call was given up there that its server may still be at."""
    return life.connection is not None and bool(life.connection.ghosts)


def _asked_newer(life: Life, request: Request, error: ProtocolError) -> bool:
    """Whether a server that speaks both revisions has asked in the newer way, where only the older one was spoken. The
    official Python SDK says it with these words; what asks has done nothing yet."""
    older = life.connection is not None and life.connection.older
    row = METHODS.get(request.method)
    return older and row is not None and row.asks and error.code == INTERNAL_ERROR and INVALID in error.message


def _haunted(life: Life, request: Request) -> bool:
    """Whether the server may still be at a call that somebody else has given up: what it asks then is not for us."""
    ghosts = () if life.connection is None else life.connection.ghosts
    subject = request.caller.subject
    return any(ghost != subject or ghost == ANONYMOUS.subject for ghost in ghosts)


async def _over(parked: Parked) -> NoReturn:
    raise AssertionError("a call that waits has begun")
