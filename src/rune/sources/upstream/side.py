"""One side of a server: what it offers and announces to clients that can do the same things.

Servers of 2026-07-28 have one side for all. Older ones hear once, when a connection begins, what their client can do,
and may offer one thing to this client and another to that.
"""

from __future__ import annotations

from rune.client.life import Life
from rune.source import EVERYTHING, Listeners
from rune.sources.upstream.disk import Disk
from rune.sources.upstream.hearing import Hearing
from rune.sources.upstream.shelf import Shelf


class Side:
    """`life` is the connection that is asked and listened to; `all` hears every change besides those who listen."""

    def __init__(self, life: Life, all: Listeners, *, lazy: bool, tasks: bool, disk: Disk | None) -> None:
        self.life = life
        self.listeners = Listeners()
        self.listeners.add(EVERYTHING, all.publish)
        self.shelf = Shelf(life, self.listeners, lazy=lazy)
        self.shelf.tasks, self.shelf.disk = tasks, disk
        self.hearing = Hearing(life, self.shelf, self.listeners, lazy=lazy)

    async def close(self) -> None:
        """Stop looking and listening."""
        await self.hearing.close()
        await self.shelf.close()
