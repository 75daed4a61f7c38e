"""`rate_limiter`: how often callers may call, tools be called, and so on; here or together with other processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple, Protocol

from rune.errors import ConfigError, TimedOut
from rune.kernels.rate import SLACK
from rune.native import Implementation, Wanted, make_rate
from rune.plugin import (
    Passing,
    Plugin,
    PluginConfig,
    PluginContext,
    PluginResult,
    PluginViolation,
    PromptPrehookPayload,
    ResourcePreFetchPayload,
    ToolPreInvokePayload,
)
from rune.store import Store

PER: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
BY: Final = ("caller", "tool", "tenant", "server")
KEYS: Final = (
    "requests_per_second", "burst_size", "by", "wait", "shared", "implementation", "by_user", "by_tenant", "by_tool",
)  # fmt: skip
_RATE: Final = re.compile(r"([0-9]+)/([a-z]+)")


class Limiter(Protocol):
    """What both kinds of limiters can do."""

    implementation: Implementation

    async def reserve(self, key: str, patience: float) -> float | None:
        """Seconds to wait for the next place, which is taken; None where that would be more than `patience`."""
        ...

    async def wait_for_slot(self, key: str = "", timeout: float = 60.0) -> None:
        """Take the next place and wait until it is there; in the order in which they were asked for.

        Raises:
            TimedOut: it would take longer than `timeout`; no place is taken then.
        """
        wait = await self.reserve(key, timeout)
        if wait is None:
            raise TimedOut(f"no place within {timeout:g} s", hint="ask less often")
        if wait:
            await asyncio.sleep(wait)


class RateLimiter(Limiter):
    """So many requests per second for each key, and `burst_size` at once after a pause.

    `implementation` is "rust" or "python" and may be chosen; "auto" takes Rust where it is installed.
    """

    allow_request: Callable[[str], bool]
    """`allow_request(key)`: whether a request may go on now; then it counts."""

    def __init__(
        self, requests_per_second: float = 100, burst_size: int = 10, *, implementation: Wanted = "auto"
    ) -> None:
        self._rate, self.implementation = make_rate(implementation, requests_per_second, burst_size)
        self.allow_request = self._rate.allow

    async def reserve(self, key: str, patience: float) -> float | None:
        return self._rate.reserve(key, patience)


class SharedRateLimiter(Limiter):
    """The same for all who share a store, by its clock."""

    implementation: Implementation = "python"

    def __init__(self, requests_per_second: float, burst_size: int, store: Store, name: str) -> None:
        self._interval = 1 / requests_per_second
        self._tolerance = (burst_size - 1 + SLACK) * self._interval
        self._store = store
        self._name = name

    async def allow_request(self, key: str) -> bool:
        """Whether a request may go on now; then it counts."""
        return await self.reserve(key, 0.0) is not None

    async def reserve(self, key: str, patience: float) -> float | None:
        return await self._store.reserve(
            f"rate:{self._name}:{key}", interval=self._interval, tolerance=self._tolerance, patience=patience
        )


class Limit(NamedTuple):
    """One of the limits of a plugin: of what a request has, `by` says who shares it, `tools` for which it holds."""

    limiter: Limiter
    by: tuple[str, ...]
    tools: str
    said: str


class RateLimiterPlugin(Plugin):
    """Config: `requests_per_second`, `burst_size`, `by` (caller, tool, tenant, server), `wait`, `shared`,
    `implementation`; or `by_user`, `by_tenant` and `by_tool` with rates as "60/m".

    Raises:
        ConfigError: for a config without a limit, and for other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        self._config = given = config.options(*KEYS)
        self._wait = _number(given, "wait", 0.0, 0)
        self._shared = given.get("shared") is True
        self._limits = self._made()
        self.implementation = "python" if self._shared else self._limits[0].limiter.implementation

    async def initialize(self) -> None:
        if self._shared:
            self._limits = self._made()

    def _made(self) -> list[Limit]:
        given, limits = self._config, []
        if "requests_per_second" in given or "burst_size" in given:
            rate = _number(given, "requests_per_second", 100.0, 0.000_001)
            by = given.get("by", ["caller"])
            if not isinstance(by, list) or not set(by) <= set(BY):
                raise ConfigError(f"by is a list of {', '.join(BY)}")
            limits.append(self._limit(rate, int(_number(given, "burst_size", 10, 1)), tuple(by), "*"))
        for key, who in (("by_user", "caller"), ("by_tenant", "tenant")):
            if given.get(key):
                limits.append(self._limit(*_rate(key, given[key]), (who,), "*"))
        by_tool = given.get("by_tool") or {}
        if not isinstance(by_tool, dict):
            raise ConfigError("by_tool has a rate for each tool", hint='by_tool = { search = "10/m" }')
        limits += [self._limit(*_rate("by_tool", rate), ("tool",), tool) for tool, rate in by_tool.items()]
        if not limits:
            raise ConfigError("has no limit", hint="config = { requests_per_second = 10, burst_size = 20 }")
        return limits

    def _limit(self, rate: float, burst: int, by: tuple[str, ...], tools: str) -> Limit:
        said = f"{rate:.3g} per second, {burst} at once"
        if self._shared and self.store is not None:
            name = f"{self.config.name}:{'+'.join(by)}:{tools}"
            return Limit(SharedRateLimiter(rate, burst, self.store, name), by, tools, said)
        limiter = RateLimiter(rate, burst, implementation=self._config.get("implementation", "auto"))
        return Limit(limiter, by, tools, said)

    def passing(self, hook: str) -> Passing | None:
        """Who is limited in one way is asked without a detour. Who may not go on has taken no place: the hook finds
        that out again, and says so."""
        if self._wait or self._shared or len(self._limits) > 1 or self._limits[0][1:3] != (("caller",), "*"):
            return None
        limiter = self._limits[0].limiter
        if not isinstance(limiter, RateLimiter):
            return None
        allow = limiter.allow_request
        return lambda raw, caller: allow(caller.subject)

    async def tool_pre_invoke(self, payload: ToolPreInvokePayload, context: PluginContext) -> PluginResult[Any]:
        return await self._judge(payload.name, self._limits, context)

    async def prompt_pre_fetch(self, payload: PromptPrehookPayload, context: PluginContext) -> PluginResult[Any]:
        return await self._judge(payload.prompt_id, self._general(), context)

    async def resource_pre_fetch(self, payload: ResourcePreFetchPayload, context: PluginContext) -> PluginResult[Any]:
        # Of URIs there may be any number: they share one limit.
        return await self._judge("resources", self._general(), context)

    def _general(self) -> list[Limit]:
        return [limit for limit in self._limits if limit.tools == "*"]

    async def _judge(self, name: str, limits: Sequence[Limit], context: PluginContext) -> PluginResult[Any]:
        shared = context.global_context
        facts = {"caller": shared.user, "tool": name, "tenant": shared.tenant_id, "server": shared.server_id}
        longest = 0.0
        for limit in limits:
            if limit.tools == "*" or fnmatchcase(name, limit.tools):
                wait = await limit.limiter.reserve("\0".join(facts[by] or "" for by in limit.by), self._wait)
                if wait is None:
                    return _refused(limit)
                longest = max(longest, wait)
        if longest:
            await asyncio.sleep(longest)
        return PluginResult()


def _refused(limit: Limit) -> PluginResult[Any]:
    who = " and ".join(limit.by) or "all"
    violation = PluginViolation(f"too many requests: {limit.said}", f"by {who}", "rate_limited")
    return PluginResult(continue_processing=False, violation=violation)


def _number(given: dict[str, Any], key: str, default: float, least: float) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e9:
        raise ConfigError(f"{key} must be a number from {least:g} on")
    return float(value)


def _rate(key: str, text: Any) -> tuple[float, int]:
    """A rate as others write it: so many in a unit of time, all of them at once if need be."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[2] not in PER or not int(found[1]):
        raise ConfigError(f"{key}: {text!r} is no rate", hint='it is "10/s", "60/m" or "500/h"')
    return int(found[1]) / PER[found[2]], int(found[1])
