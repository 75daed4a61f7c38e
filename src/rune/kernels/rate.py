"""How often something may happen: the generic cell rate algorithm, one number for each key.

The twin of crates/rune-core/src/rate.rs; both compute the same floating point numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SLACK: Final = 0.001
"""Part of an interval by which an event may be early on top: rounding must not cost the last one of a burst."""
SWEEP: Final = 16_384
"""Keys from which on those that are not needed are thrown away."""


class Rate:
    """A limit for any number of keys. For each it keeps when the next event is due by the rate; an event may come early
    by the time that a burst takes."""

    __slots__ = ("_clock", "_due", "_interval", "_tolerance", "allow")

    allow: Callable[[str], bool]

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._tolerance = (burst - 1.0 + SLACK) * self._interval
        self._due = Due()
        self._clock = clock
        # Bound here: what a method would look up costs as much as all the rest.
        self.allow = _allow(self._due, self._interval, self._tolerance, clock)

    def __len__(self) -> int:
        return len(self._due)

    def reserve(self, key: str, patience: float) -> float | None:
        """Seconds to wait for the next place, which is taken; None where that would be more than `patience`."""
        return self.reserve_at(key, self._clock(), patience)

    def reserve_at(self, key: str, now: float, patience: float) -> float | None:
        """The same at a time of one's own."""
        due = self._due.get(key)
        if due is None:
            self._due.add(key, now, self._interval)
            return 0.0
        start = max(due, now)
        wait = start - now - self._tolerance
        if wait > patience:
            return None
        self._due[key] = start + self._interval
        return max(wait, 0.0)


class Due(dict[str, float]):
    """When the next event of each key is due. What is over is forgotten when there are many."""

    __slots__ = ("_sweep",)

    def __init__(self) -> None:
        super().__init__()
        self._sweep = SWEEP

    def add(self, key: str, now: float, interval: float) -> None:
        """The first event of a key."""
        if len(self) >= self._sweep:
            for each in [each for each, due in self.items() if due <= now]:
                del self[each]
            self._sweep = max(SWEEP, 2 * len(self))
        self[key] = now + interval


def _allow(due: Due, interval: float, tolerance: float, clock: Callable[[], float]) -> Callable[[str], bool]:
    get = due.get

    def allow(key: str) -> bool:
        """Whether an event of this key may happen now; then it counts."""
        now = clock()
        at = get(key)
        if at is None:
            due.add(key, now, interval)
        elif at <= now:
            due[key] = now + interval
        elif at - now - tolerance > 0.0:
            return False
        else:
            due[key] = at + interval
        return True

    return allow
