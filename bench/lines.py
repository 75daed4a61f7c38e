"""What is measured, against whom, and what it has to reach: the table behind `python -m bench`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bench.contenders import (
    BARE,
    GUESTS,
    LEAN,
    LEAN_ASGI,
    LEAN_PROTOCOL,
    LEAN_STDIO,
    OFFICIAL,
    OFFICIAL_JSON,
    OFFICIAL_MANY,
    OFFICIAL_STATEFUL,
    OFFICIAL_STDIO,
    OURS,
    OURS_ASGI,
    OURS_C,
    OURS_JS,
    OURS_PLUGGED,
    OURS_PYTHON,
    PROXY,
    PROXY_HOP,
    RELAY,
    RELAY_HOP,
    RUNE_ASGI,
    RUNE_HOP,
    RUNE_HOP_STDIO,
    RUNE_HTTP,
    RUNE_MANY,
    RUNE_PLUGGED,
    RUNE_STDIO,
    Contender,
)
from bench.measures import Connected, Guests, HttpLoad, Idle, Measure, Run, StdioLoad

REFERENCE_US: Final = 23.0
"""CPU of the lean core under uvicorn on the machine that the absolute targets were set for (22.7 to 23.3)."""
REFERENCE_START_S: Final = 0.052
"""Start of the lean core on stdio to its first answer, there."""

Medians = Mapping[str, float]


class Target(Protocol):
    @property
    def gate(self) -> bool:
        """Whether missing it fails the run: only what does not depend on the machine does."""
        ...

    def measured(self, medians: Medians) -> str: ...
    def wanted(self, medians: Medians) -> str: ...
    def met(self, medians: Medians) -> bool: ...


@dataclass(frozen=True, slots=True)
class Times:
    """So many times cheaper than a peer in the same run."""

    factor: float
    peer: str = OFFICIAL
    gate: bool = True
    ours: str = OURS

    def ratio(self, medians: Medians) -> float:
        return medians[self.peer] / medians[self.ours]

    def measured(self, medians: Medians) -> str:
        return f"{self.ratio(medians):.1f}x"

    def wanted(self, medians: Medians) -> str:
        return f">= {self.factor:g}x the {self.peer}"

    def met(self, medians: Medians) -> bool:
        return self.ratio(medians) >= self.factor


@dataclass(frozen=True, slots=True)
class Within:
    """At most so many times what a floor costs in the same run."""

    factor: float
    floor: str
    gate: bool = False
    ours: str = OURS

    def ratio(self, medians: Medians) -> float:
        return medians[self.ours] / medians[self.floor]

    def measured(self, medians: Medians) -> str:
        return f"{self.ratio(medians):.2f}x"

    def wanted(self, medians: Medians) -> str:
        return f"<= {self.factor:g}x the {self.floor}"

    def met(self, medians: Medians) -> bool:
        return self.ratio(medians) <= self.factor


@dataclass(frozen=True, slots=True)
class AtMost:
    """An absolute bound; where a yardstick is named, in proportion to what that costs on this machine."""

    limit: float
    unit: str
    yardstick: str = ""
    gate: bool = False
    ours: str = OURS
    reference: float = REFERENCE_US

    def allowed(self, medians: Medians) -> float:
        return self.limit * medians[self.yardstick] / self.reference if self.yardstick else self.limit

    def measured(self, medians: Medians) -> str:
        return f"{medians[self.ours]:g} {self.unit}"

    def wanted(self, medians: Medians) -> str:
        scaled = f" ({self.limit:g} where the {self.yardstick} takes {self.reference:g})" if self.yardstick else ""
        return f"<= {self.allowed(medians):.3g} {self.unit}{scaled}"

    def met(self, medians: Medians) -> bool:
        return medians[self.ours] <= self.allowed(medians)


@dataclass(frozen=True, slots=True)
class Adds:
    """At most so much more than another contender, in proportion to what the yardstick costs on this machine."""

    limit: float
    unit: str
    ours: str
    over: str
    yardstick: str
    gate: bool = False

    def allowed(self, medians: Medians) -> float:
        return self.limit * medians[self.yardstick] / REFERENCE_US

    def added(self, medians: Medians) -> float:
        return medians[self.ours] - medians[self.over]

    def measured(self, medians: Medians) -> str:
        return f"{self.added(medians):.1f} {self.unit} more"

    def wanted(self, medians: Medians) -> str:
        scaled = f"{self.limit:g} where the {self.yardstick} takes {REFERENCE_US:g}"
        return f"<= {self.allowed(medians):.3g} {self.unit} more than {self.over} ({scaled})"

    def met(self, medians: Medians) -> bool:
        return self.added(medians) <= self.allowed(medians)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is measured. The first contender is ours."""

    title: str
    unit: str
    measure: Measure
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    rounds: int | None = None
    """So many instead of what was asked for: memory hardly varies, wall time varies much."""


def _each(limit: float, unit: str, yardstick: str = LEAN) -> tuple[AtMost, ...]:
    """The same bound for a guest in each language."""
    return tuple(AtMost(limit, unit, yardstick, ours=ours) for ours in (OURS_C, OURS_JS, OURS_PYTHON))


LINES: Final[Mapping[str, Line]] = {
    "call-modern": Line(
        "tools/call over HTTP, 2026-07-28, 32 clients",
        "us CPU",
        HttpLoad("modern"),
        (RUNE_HTTP, OFFICIAL_JSON, LEAN_ASGI, LEAN_PROTOCOL),
        (Times(6), AtMost(30, "us", LEAN)),
    ),
    "call-asgi": Line(
        "tools/call over HTTP, 2026-07-28, 32 clients, the ASGI app under plain uvicorn",
        "us CPU",
        HttpLoad("modern"),
        (RUNE_ASGI, OFFICIAL_JSON, LEAN_ASGI),
        (Times(6, ours=OURS_ASGI), AtMost(30, "us", LEAN, ours=OURS_ASGI)),
    ),
    "plugins": Line(
        "tools/call with 1 kB over HTTP past rate_limiter, deny_list and pii_filter, 2026-07-28, 32 clients",
        "us CPU",
        HttpLoad("modern", size=1000, yardstick=LEAN),
        (RUNE_PLUGGED, RUNE_HTTP, LEAN_ASGI),
        (Adds(8, "us", OURS_PLUGGED, OURS, LEAN),),
    ),
    "call-legacy": Line(
        "tools/call over HTTP, 2025-11-25 with sessions, 32 clients",
        "us CPU",
        HttpLoad("legacy"),
        (RUNE_HTTP, OFFICIAL_STATEFUL, LEAN_ASGI, LEAN_PROTOCOL),
        (Times(12),),
    ),
    "stdio-legacy": Line(
        "tools/call over stdio, 2025-11-25, one after the other",
        "us CPU",
        StdioLoad("legacy"),
        (RUNE_STDIO, OFFICIAL_STDIO, LEAN_STDIO),
        (Times(15),),
    ),
    "stdio-modern": Line(
        "tools/call over stdio, 2026-07-28, one after the other",
        "us CPU",
        StdioLoad("modern"),
        (RUNE_STDIO, OFFICIAL_STDIO, LEAN_STDIO),
        (Times(15),),
    ),
    "pipelined-legacy": Line(
        "tools/call over stdio, 2025-11-25, 32 in flight",
        "us CPU",
        StdioLoad("legacy", depth=32),
        (RUNE_STDIO, OFFICIAL_STDIO, LEAN_STDIO),
        (Times(40),),
    ),
    "pipelined-modern": Line(
        "tools/call over stdio, 2026-07-28, 32 in flight",
        "us CPU",
        StdioLoad("modern", depth=32),
        (RUNE_STDIO, OFFICIAL_STDIO, LEAN_STDIO),
        (Times(40),),
    ),
    "list": Line(
        "tools/list of 500 tools over HTTP, 2026-07-28, 8 clients",
        "us CPU",
        HttpLoad("modern", method="list", tools=500, clients=8),
        (RUNE_MANY, OFFICIAL_MANY),
    ),
    "hop-http": Line(
        "tools/call through a gateway to a lean server over HTTP, 2026-07-28, 32 clients",
        "us CPU",
        HttpLoad("modern"),
        (RUNE_HOP, PROXY_HOP, LEAN_ASGI),
        (Times(200, PROXY), AtMost(110, "us", LEAN)),
    ),
    "hop-stdio": Line(
        "tools/call through a gateway to a lean child over stdio, the child included, 2026-07-28, 32 clients",
        "us CPU",
        HttpLoad("modern"),
        (RUNE_HOP_STDIO, LEAN_ASGI),
        (AtMost(50, "us", LEAN),),
    ),
    "hop-1mb": Line(
        "tools/call through a gateway to a lean server over HTTP, a result of 1 MB, 2026-07-28, 4 clients",
        "us CPU",
        HttpLoad("modern", method="page", clients=4, yardstick=LEAN),
        (RUNE_HOP, PROXY_HOP, LEAN_ASGI, RELAY_HOP),
        (AtMost(1000, "us", LEAN), Within(5, RELAY)),
    ),
    "session": Line(
        "memory per connected client with a session, 1000 clients",
        "KB",
        Connected("legacy"),
        (RUNE_HTTP, OFFICIAL_STATEFUL, LEAN_ASGI),
        (AtMost(10, "KB"),),
        rounds=1,
    ),
    "listen": Line(
        "memory per connected client with an open subscriptions/listen, 1000 clients",
        "KB",
        Connected("modern", listen=True),
        (RUNE_HTTP, OFFICIAL_JSON),
        (AtMost(25, "KB"),),
        rounds=1,
    ),
    "idle": Line(
        "memory of an idle server over HTTP",
        "MB",
        Idle(),
        (RUNE_HTTP, OFFICIAL_JSON, LEAN_ASGI),
        (AtMost(45, "MB"),),
    ),
    "start": Line(
        "start over stdio to the first answer",
        "s",
        StdioLoad("modern", key="start_s"),
        (RUNE_STDIO, OFFICIAL_STDIO, LEAN_STDIO),
        (AtMost(0.25, "s", LEAN, reference=REFERENCE_START_S),),
        rounds=7,
    ),
    "import": Line(
        "`import rune` in a new interpreter",
        "s",
        Run(),
        (Contender(OURS, ("-c", "import rune")), Contender(BARE, ("-c", "pass"))),
        (AtMost(0.1, "s"),),
        rounds=7,
    ),
    "import-server": Line(
        "`from rune import Server` in a new interpreter",
        "s",
        Run(),
        (Contender(OURS, ("-c", "from rune import Server")), Contender(BARE, ("-c", "pass"))),
        rounds=7,
    ),
    "wasm-call": Line(
        "call-tool echo of a component, an instance that is used again, no wire",
        "us CPU",
        Guests("call"),
        (*GUESTS, LEAN_ASGI),
        _each(60, "us"),
    ),
    "wasm-argument": Line(
        "call-tool of a component with an argument of 1 MB, an instance that is used again, no wire",
        "us CPU",
        Guests("argument"),
        (*GUESTS, LEAN_ASGI),
        _each(2000, "us"),
    ),
    "wasm-large": Line(
        "call-tool echo of a component with 1 MB both ways, an instance that is used again, no wire",
        "us CPU",
        Guests("large"),
        (*GUESTS, LEAN_ASGI),
    ),
    "wasm-fresh": Line(
        "call-tool echo of a component, an instance for each call from a warm pool: what a client in the process waits",
        "us",
        Guests("fresh-wall"),
        (*GUESTS, LEAN_ASGI),
        (AtMost(400, "us", LEAN, ours=OURS_C), AtMost(1000, "us", LEAN, ours=OURS_PYTHON)),
    ),
    "wasm-refill": Line(
        "call-tool echo of a component, an instance for each call and the making of the next one",
        "us CPU",
        Guests("fresh-cpu"),
        (*GUESTS, LEAN_ASGI),
        _each(2500, "us"),
    ),
    "wasm-cold": Line(
        "a component from the cache of compiled ones: load, register, answer the first call",
        "us",
        Guests("cold"),
        (*GUESTS, LEAN_ASGI),
        _each(50_000, "us"),
    ),
    "wasm-flat": Line(
        "growth of the process by 10,000 calls of a component",
        "KB",
        Guests("flat"),
        (*GUESTS, LEAN_ASGI),
        _each(1024, "KB", ""),
        rounds=1,
    ),
    "wasm-parallel": Line(
        "four long calls of a component at once, in percent of one after the other",
        "%",
        Guests("parallel"),
        (*GUESTS, LEAN_ASGI),
        _each(65, "%", ""),
    ),
}
