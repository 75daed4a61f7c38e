"""Instances that are ready, and the threads that they run in: who gets which, and what becomes of it afterwards."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

from rune.config.policy import PolicyTable
from rune.errors import RuneError
from rune.sources.execution import Threads
from rune.sources.wasm.engine import TICK
from rune.sources.wasm.instance import Dead, Guest
from rune.sources.wasm.seat import Seat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rune.sources.wasm.exchange import Exchange

T = TypeVar("T")

log = logging.getLogger("rune.wasm")

GRACE: Final = 2.0
"""Seconds in which guests that were stopped must have ended."""
CALLERS: Final = 64
"""Callers whose own instance is kept."""


class Ticket:
    """One call: where it runs, so that it can be stopped, and nobody else who has the instance after it."""

    __slots__ = ("_lock", "instance", "stopped")

    def __init__(self) -> None:
        self.instance: Guest | None = None
        self.stopped = False
        self._lock = threading.Lock()

    def take(self, instance: Guest) -> bool:
        """The call runs here, unless it is over."""
        with self._lock:
            if not self.stopped:
                instance.fresh()
                self.instance = instance
            return not self.stopped

    def leave(self) -> None:
        """It does no more."""
        with self._lock:
            self.instance = None

    def stop(self) -> None:
        """The call is over, whatever it is doing."""
        with self._lock:
            self.stopped = True
            if self.instance is not None:
                self.instance.stop()


class _Own:
    """The instance of one caller. Its calls run one after the other."""

    __slots__ = ("idle", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.idle: deque[Guest] = deque()


class Pool:
    """`make` gives a new instance that is ready for calls."""

    def __init__(self, name: str, make: Callable[[], Guest], policy: PolicyTable) -> None:
        self._name = name
        self._make = make
        self._isolation = policy.isolation
        self._ready: deque[Guest] = deque()
        self._own: OrderedDict[str, _Own] = OrderedDict()
        self._most = policy.limits.concurrency
        self._slots = asyncio.Semaphore(self._most)
        self._threads = Threads(self._most + 1)
        self.running: set[Ticket] = set()
        self._refills: set[asyncio.Task[None]] = set()
        self._seats: WeakSet[Seat] = WeakSet()
        self._lock = threading.Lock()
        self._generation = 0
        self._busy = 0
        self.discarded = 0

    async def run(self, exchange: Exchange, work: Callable[[Guest], T]) -> T:
        """Have an instance work in a thread. Whoever is cancelled here stops it.

        Raises:
            Dead: the guest trapped or was stopped; whatever `work` raises.
        """
        ticket = Ticket()
        async with self._place(exchange.request.caller.subject) as idle, self._slots:
            self.running.add(ticket)
            try:
                return await self._threads.run(self._work, ticket, idle, exchange, work)
            except asyncio.CancelledError:
                ticket.stop()
                raise
            finally:
                self.running.discard(ticket)
                if self._isolation == "call" and len(self._ready) < self._most:
                    self.refill()

    @asynccontextmanager
    async def _place(self, subject: str) -> AsyncIterator[deque[Guest]]:
        """The instances that a call may have: those of all, or the one of its caller, which waits for its turn."""
        if self._isolation != "caller":
            yield self._ready
            return
        own = self._own.get(subject)
        if own is None:
            own = self._own[subject] = _Own()
        self._own.move_to_end(subject)
        self._make_room()
        async with own.lock:
            yield own.idle

    def _make_room(self) -> None:
        """Callers that have not come for the longest time lose theirs, unless it works."""
        for subject in list(self._own)[: max(len(self._own) - CALLERS, 0)]:
            if not self._own[subject].lock.locked():
                _empty(self._own.pop(subject).idle)

    def _work(self, ticket: Ticket, idle: deque[Guest], exchange: Exchange, work: Callable[[Guest], T]) -> T:
        with self._lock:
            self._busy += 1
        try:
            return self._worked(ticket, idle, exchange, work)
        finally:
            with self._lock:
                self._busy -= 1

    def _worked(self, ticket: Ticket, idle: deque[Guest], exchange: Exchange, work: Callable[[Guest], T]) -> T:
        generation = self._generation
        try:
            # The one that came back last: where instances are shared, few are used much.
            instance = idle.pop()
        except IndexError:
            instance = self._made()
        instance.exchange = exchange
        if not ticket.take(instance):
            instance.close()
            raise Dead("stopped: the call is over")
        try:
            value = instance.do(work)
        except (RuneError, ValueError):
            ticket.leave()
            self._back(instance, idle, generation)
            raise
        except Dead:
            self.discarded += 1
            ticket.leave()
            instance.close()
            raise
        ticket.leave()
        self._back(instance, idle, generation)
        return value

    def _back(self, instance: Guest, idle: deque[Guest], generation: int) -> None:
        instance.exchange = None
        instance.uses += 1
        if self._isolation != "call" and instance.uses < instance.life and generation == self._generation:
            idle.append(instance)
        else:
            instance.close()

    def refill(self) -> None:
        """Make an instance ahead of the next call, in the background."""
        if len(self._refills) < self._most:
            task = asyncio.get_running_loop().create_task(self._refill())
            self._refills.add(task)
            task.add_done_callback(self._refills.discard)

    async def _refill(self) -> None:
        try:
            await self._threads.run(self._fill)
        except (Dead, RuneError) as error:
            log.warning("%s: no new instance: %s", self._name, error)

    def _fill(self) -> None:
        generation = self._generation
        instance = self._made()
        with self._lock:
            if generation == self._generation and len(self._ready) < self._most:
                self._ready.appendleft(instance)
                return
        instance.close()

    def _made(self) -> Guest:
        instance = self._make()
        if instance.seat is not None:
            self._seats.add(instance.seat)
        return instance

    async def close(self) -> None:
        """Stop what runs and let go of all instances."""
        with self._lock:
            self._generation += 1
        for idle in (self._ready, *(own.idle for own in self._own.values())):
            _empty(idle)
        self._own.clear()
        for ticket in self.running:
            ticket.stop()
        for task in self._refills:
            task.cancel()
        await asyncio.gather(*self._refills, return_exceptions=True)
        # A thread that is inside of a guest when the interpreter ends would take the process with it.
        patience = asyncio.get_running_loop().time() + GRACE
        while self._busy and asyncio.get_running_loop().time() < patience:  # noqa: ASYNC110 - threads have no event
            await asyncio.sleep(TICK)
        for seat in tuple(self._seats):
            await asyncio.to_thread(seat.join, GRACE)
        self._threads.close()


def _empty(idle: deque[Guest]) -> None:
    """Close them one by one: what somebody takes out meanwhile is theirs."""
    with suppress(IndexError):
        while True:
            idle.pop().close()
