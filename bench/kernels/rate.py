"""Rate limits: may a caller go on? For 10,000 callers in turn, and for one, against cpex-rate-limiter and `limits`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bench.kernels import Figures, Row, Target, Times
from bench.kernels.peers import peer
from rune.plugins.rate import RateLimiter

RUST, PYTHON, CPEX, LIMITS, PLAIN = "rust", "python", "cpex-rate-limiter 0.1.12", "limits 5.8.0", "a class of 8 lines"
MANY: Final = 10_000
PER_SECOND: Final = 100.0
BURST: Final = 1_000_000_000
"""So large that nobody is refused: then each call has something to write."""


@dataclass(frozen=True, slots=True)
class Calls:
    """At least so many million calls per second of a contender."""

    least: float
    ours: str
    gate = False

    def wanted(self) -> str:
        return f"{self.ours} >= {self.least:g} M/s"

    def measured(self, row: Row, ns: Figures) -> str:
        return f"{1000 / ns[self.ours]:.3g} M/s"

    def met(self, row: Row, ns: Figures) -> bool:
        return 1000 / ns[self.ours] >= self.least


class Plain:
    """The algorithm as one would write it down."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.due: dict[str, float] = {}
        self.interval, self.tolerance = 1 / per_second, burst / per_second

    def allow(self, key: str) -> bool:
        now = time.monotonic()
        due = max(self.due.get(key, 0.0), now)
        if due - now > self.tolerance:
            return False
        self.due[key] = due + self.interval
        return True


def rows() -> Iterator[Row]:
    """Many callers and one; the package of the incumbent counts by users as it does in its plugin."""
    rust, python = (RateLimiter(PER_SECOND, BURST, implementation=each).allow_request for each in ("rust", "python"))
    engine = peer("cpex_rate_limiter.rate_limiter_rust", "cpex-rate-limiter==0.1.12").RateLimiterEngine(
        {"by_user": "1000000/s", "algorithm": "fixed_window"}
    )
    allow: dict[str, Callable[[str], object]] = {
        RUST: rust, PYTHON: python, CPEX: partial(_cpex, engine.check), LIMITS: _limits(),
        PLAIN: Plain(PER_SECOND, BURST).allow,
    }  # fmt: skip
    targets: list[Target] = [Calls(7, RUST), Calls(4, PYTHON), Times(8, CPEX), Times(5, LIMITS, PYTHON)]
    yield _row(f"{MANY:,} callers", [f"caller-{number}" for number in range(MANY)], allow, targets)
    yield _row("one caller", ["caller"] * 1000, allow, [])


def _row(title: str, keys: Sequence[str], allow: dict[str, Callable[[str], object]], targets: Sequence[Target]) -> Row:
    work = {name: partial(_all, each, keys) for name, each in allow.items()}
    return Row(title, work, targets=targets, calls=len(keys))


def _all(allow: Callable[[str], object], keys: Sequence[str]) -> None:
    # Nothing of Python between two calls.
    deque(map(allow, keys), maxlen=0)


def _cpex(check: Any, user: str) -> object:
    return check(user, None, "tool", int(time.time()), False, None)


def _limits() -> Callable[[str], object]:
    limits = peer("limits", "limits==5.8.0")
    storage, strategies = peer("limits.storage", "limits==5.8.0"), peer("limits.strategies", "limits==5.8.0")
    limiter = strategies.FixedWindowRateLimiter(storage.MemoryStorage())
    return partial(limiter.hit, limits.RateLimitItemPerSecond(BURST))
