"""Guests that do not return from `serve()`: they sit in there, in a thread of their own, and are called from inside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rune.sources.wasm.calls import Trap

if TYPE_CHECKING:
    from rune.sources.wasm.instance import Guest

T = TypeVar("T")

GONE: Final = "the guest has left serve()"


class Gone(Exception):
    """The guest of a seat is not there any more."""


class Seat:
    """The thread of one guest. What others want of it is done there, one after the other, while it is in `serve()`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._arrived: Future[Any] = Future()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="rune-wasm-guest", daemon=True)
        self._entry: Callable[[], Any] = dict

    def enter(self, entry: Callable[[], Any]) -> Any:
        """Have the guest run up to `serve()`. One that returns before is as good as others: its result.

        Raises:
            Dead: it did not come so far.
        """
        self._entry = entry
        self._thread.start()
        return self._arrived.result()

    def _run(self) -> None:
        try:
            told = self._entry()
            if not self._arrived.done():
                self._guest.seat = None
                self._arrived.set_result(told)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            if not self._arrived.done():
                self._arrived.set_exception(error)
        with self._lock:
            self._over = True
            while not self._jobs.empty():
                job = self._jobs.get()
                if job is not None:
                    job[1].set_exception(Gone(GONE))
        if self._guest.seat is not None:
            self._guest.free()

    def serve(self) -> None:
        """Called by the guest: it stays in here until it is let go, which ends it.

        Raises:
            Trap: it is to end, or one of its calls has ended it.
        """
        if not self._arrived.done():
            self._arrived.set_result({"ok": None})
        while True:
            self._guest.rest()
            try:
                job = self._jobs.get()
            finally:
                self._guest.wake()
            if job is None:
                raise Trap(GONE)
            work, answer = job
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001 - as above
                answer.set_exception(error)
                if self._guest.dead:
                    raise Trap(GONE) from None

    def do(self, work: Callable[[], T]) -> T:
        """Have something done in the thread of the guest.

        Raises:
            Gone: it is not there any more; whatever `work` raises.
        """
        answer: Future[T] = Future()
        with self._lock:
            if self._over:
                raise Gone(GONE)
            self._jobs.put((work, answer))
        return answer.result()

    def leave(self) -> None:
        """Let the guest go: where it sits, or when it comes back there. Whoever it waits for hears that it is gone."""
        self._jobs.put(None)

    def join(self, timeout: float) -> None:
        """Wait until it has gone."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
