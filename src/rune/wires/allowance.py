"""How much of what nobody asked for is taken from a peer: a burst at once, and a steady rate after that."""

from __future__ import annotations

from typing import Final

UNASKED: Final = (20_000, 5_000)
"""Notes, noise and answers to nothing that are read from a server at once, and per second after that; a long one counts
more. The reader is shared by all servers: what one of them pours out must not cost the others."""


class Allowance:
    """So much at once, and so much per second. It never refuses; it says how long to read nothing more."""

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._then = 0.0

    def spend(self, amount: float, now: float) -> float:
        """Take what has come; the seconds until there is an allowance again, 0 while some is left."""
        self._left = min(self._left + (now - self._then) * self._rate, self._burst) - amount
        self._then = now
        return 0.0 if self._left > 0 else -self._left / self._rate + 0.05
