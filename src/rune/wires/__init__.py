"""Wires carry frames, whole JSON-RPC messages as bytes, and know nothing of what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias


class Way(Protocol):
    """The sending half of a wire."""

    def write(self, frame: bytes, topic: str) -> None:
        """Send one frame without waiting. `topic` says what a notification is about, so that the next may replace it;
        it is empty for all other frames.
        """
        ...

    async def room(self) -> None:
        """Wait until the other side has caught up."""
        ...


class Peer(Protocol):
    """Whoever takes the frames that arrive."""

    def feed(self, data: bytes) -> None:
        """Take one frame."""
        ...

    def oversize(self, limit: int) -> None:
        """A frame was larger than `limit` bytes and has been thrown away."""
        ...

    async def finish(self, patience: float) -> None:
        """No more frames will come: let what is in flight end, for at most `patience` seconds."""
        ...

    async def close(self) -> None:
        """The other side is gone."""
        ...


Open: TypeAlias = Callable[[Way], Peer]
