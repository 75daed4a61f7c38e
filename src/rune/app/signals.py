"""Signals: SIGTERM and SIGINT want an end, SIGHUP wants the config read again, or says that the terminal is gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def stop_on_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process the hard way."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stopped() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, stopped)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def on_hangup(again: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """SIGHUP calls `again`, as daemons do, or `stop` when it means that our terminal has been closed. Whoever has it
    ignored, as nohup does, is left alone."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        yield
        return
    loop = asyncio.get_running_loop()
    had = _terminal()
    loop.add_signal_handler(hangup, lambda: stop() if had and not _terminal() else again())
    try:
        yield
    finally:
        loop.remove_signal_handler(hangup)


def _terminal() -> bool:
    """Whether this process has a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
