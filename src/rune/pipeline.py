"""Runs plugins: in the order of their priority, each with its mode, conditions, deadline and error policy.

`chain.py` knows where in the life of a request which hook belongs; here it is only a name. A plugin gets a payload of
its own each time, decoded anew: whatever it does to it counts only if it hands it back, and only in the fields that it
may change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from itertools import groupby
from time import perf_counter_ns
from typing import Any, Final, Self, TypeAlias

import msgspec

from rune.errors import ConfigError, ProtocolError, RuneError
from rune.plugin import (
    HOOKS,
    GlobalContext,
    OnError,
    Plugin,
    PluginConfig,
    PluginContext,
    PluginMode,
    PluginResult,
    PluginViolation,
)
from rune.request import Handler
from rune.server.run import begin

log = logging.getLogger("rune.plugins")

Raw: TypeAlias = dict[str, bytes]
"""The fields of a payload that may be changed, as JSON."""
Make: TypeAlias = Callable[..., Any]
Call: TypeAlias = Callable[[Any, PluginContext], Coroutine[Any, Any, PluginResult[Any] | None]]

BLOCKED: Final = -31000
"""What a client gets for something that a plugin refuses, where the plugin names no other code."""
ASIDE: Final = 1000
"""Plugins that may run beside the requests at the same time; more are left out."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Blocked(ProtocolError):
    """A plugin has refused something."""

    def __init__(self, plugin: str, violation: PluginViolation) -> None:
        code = BLOCKED if violation.mcp_error_code is None else violation.mcp_error_code
        data = {"plugin": plugin, **({"code": violation.code} if violation.code else {})}
        super().__init__(code, f"blocked by {plugin}: {violation.reason}", data=data)
        self.violation = violation


@dataclass(slots=True)
class Record:
    """What one plugin did to one request, where it did something. `nanoseconds` are those of the clock on the wall."""

    plugin: str
    hook: str
    status: str
    nanoseconds: int
    reason: str = ""


@dataclass(slots=True)
class Turn:
    """One request on its way through the plugins."""

    facts: dict[str, str | None]
    shared: GlobalContext
    contexts: dict[str, PluginContext] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def context(self, name: str) -> PluginContext:
        """What a plugin keeps from its first hook to its last."""
        found = self.contexts.get(name)
        if found is None:
            found = self.contexts[name] = PluginContext(self.shared)
        return found


class Step:
    """One hook of one plugin."""

    __slots__ = ("blocks", "call", "changes", "config", "hook", "plugin")

    def __init__(self, plugin: Running, hook: str) -> None:
        self.plugin = plugin
        self.hook = hook
        self.config = plugin.config
        self.call: Call = getattr(plugin.plugin, hook)
        self.blocks = self.config.mode.blocks
        self.changes = self.config.mode.changes

    @property
    def side(self) -> PluginMode | None:
        """The modes that do not take their turn one after the other."""
        mode = self.config.mode
        return mode if mode in (PluginMode.CONCURRENT, PluginMode.FIRE_AND_FORGET) else None


class Running:
    """A plugin with its config, and what has become of it. Counts are since the start."""

    def __init__(self, plugin: Plugin, config: PluginConfig) -> None:
        self.plugin = plugin
        self.config = config
        self.disabled = config.mode is PluginMode.DISABLED
        self.calls = self.changed = self.blocked = self.failed = 0
        self.nanoseconds = 0

    def hooks(self) -> list[str]:
        """The hooks it has: those of its config that its class knows, or all that the class knows.

        Raises:
            ConfigError: for a hook that does not exist, or that the class does not have.
        """
        name = self.config.name
        for hook in self.config.hooks:
            if hook not in HOOKS:
                raise ConfigError(f"plugin {name}: no hook {hook}", hint=f"hooks: {', '.join(HOOKS)}")
            if not hasattr(self.plugin, hook):
                raise ConfigError(f"plugin {name}: its class has no {hook}", hint="take it out of its hooks")
        found = list(self.config.hooks) or [hook for hook in HOOKS if hasattr(self.plugin, hook)]
        for hook in found:
            if not iscoroutinefunction(getattr(self.plugin, hook)):
                raise ConfigError(
                    f"plugin {name}: {hook} is not async", hint=f"async def {hook}(self, payload, context)"
                )
        return found

    def wraps(self) -> bool:
        """Whether it stands around calls.

        Raises:
            ConfigError: it does, in a mode that cannot be: nobody could take back what it has done.
        """
        if self.disabled or not hasattr(self.plugin, "handle"):
            return False
        if self.config.mode not in (PluginMode.SEQUENTIAL, PluginMode.ENFORCE):
            raise ConfigError(
                f"plugin {self.config.name}: cannot run as {self.config.mode}",
                hint="it wraps calls: enforce or disabled",
            )
        return True

    def concerns(self, turn: Turn) -> bool:
        """Whether its conditions hold."""
        conditions = self.config.conditions
        return not self.disabled and (not conditions or any(each.holds(turn.facts) for each in conditions))


class Pipeline:
    """All plugins of a gateway. Entered while it serves."""

    def __init__(self, plugins: Sequence[tuple[Plugin, PluginConfig]]) -> None:
        self.plugins = tuple(Running(*pair) for pair in sorted(plugins, key=lambda pair: pair[1].priority))
        steps: dict[str, list[Step]] = {hook: [] for hook in HOOKS}
        for running in self.plugins:
            for hook in [] if running.disabled else running.hooks():
                steps[hook].append(Step(running, hook))
        self._groups = {hook: _grouped(entries) for hook, entries in steps.items()}
        self._around = tuple(running for running in reversed(self.plugins) if running.wraps())
        self._aside: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for running in self.plugins:
            if not running.disabled:
                await running.plugin.initialize()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in tuple(self._aside):
            task.cancel()
        if self._aside:
            await asyncio.wait(self._aside, timeout=5)
        for running in self.plugins:
            if running.config.mode is not PluginMode.DISABLED:
                await running.plugin.shutdown()

    def has(self, hook: str) -> bool:
        """Whether any plugin wants to be asked at this moment."""
        return bool(self._groups[hook])

    @property
    def wraps(self) -> bool:
        """Whether any plugin stands around the calls themselves."""
        return bool(self._around)

    def around(self, below: Handler, turn: Turn) -> Handler:
        """What answers, with the plugins around it that have a `handle`: the first by priority is the outermost."""
        for running in self._around:
            if running.concerns(turn):
                running.calls += 1
                below = partial(running.plugin.handle, next=below)  # type: ignore[attr-defined]
        return below

    def guards(self, hook: str, note: str) -> bool:
        """Whether a plugin that may stop or change something at `hook` would not see what leaves by `note`."""
        there = {step.plugin for _, group in self._groups[note] for step in group}
        return any(
            (step.blocks or step.changes) and step.plugin not in there
            for _, group in self._groups[hook]
            for step in group
        )

    async def run(self, hook: str, raw: Raw, make: Make, turn: Turn) -> set[str]:
        """Ask the plugins of a hook. `make` gets the fields of `raw` as values; changed ones are put into `raw`.

        Returns the names of the changed fields.

        Raises:
            Blocked: a plugin refuses. RuneError: a plugin failed that must not.
        """
        changed: set[str] = set()
        for side, group in self._groups[hook]:
            if side is PluginMode.FIRE_AND_FORGET:
                self._beside(group, raw, make, turn)
            elif side is PluginMode.CONCURRENT:
                await self._together(group, raw, make, turn)
            else:
                changed |= await self._ask(group[0], raw, make, turn)
        return changed

    async def _together(self, group: Sequence[Step], raw: Raw, make: Make, turn: Turn) -> None:
        """The first one that refuses ends the others."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for step in group:
                    tasks.create_task(self._ask(step, raw, make, turn))
        except BaseExceptionGroup as several:
            first = several.exceptions[0]
            raise first from None

    def _beside(self, group: Sequence[Step], raw: Raw, make: Make, turn: Turn) -> None:
        """They see what is there now; nobody waits for them."""

        async def watch(step: Step, seen: Raw) -> None:
            try:
                await self._ask(step, seen, make, turn)
            except RuneError as error:
                log.warning("%s", error)

        for step in group:
            if len(self._aside) >= ASIDE:
                log.warning("plugin %s: left out, %d plugins are behind already", step.config.name, ASIDE)
                continue
            task = asyncio.create_task(watch(step, dict(raw)))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)

    async def _ask(self, step: Step, raw: Raw, make: Make, turn: Turn) -> set[str]:
        """One plugin. What it may not do it has not done."""
        running, config = step.plugin, step.config
        if not running.concerns(turn):
            return set()
        began = perf_counter_ns()
        running.calls += 1
        try:
            if max(map(len, raw.values())) > config.max_content_size:
                raise RuneError(f"was given more than {config.max_content_size} bytes (max_content_size)")
            payload = make(**{key: _decode(value) for key, value in raw.items()})
            answer, rest = begin(step.call(payload, turn.context(config.name)))
            if rest is not None:
                async with asyncio.timeout(config.deadline):
                    answer = await rest
            changed = {} if answer is None else _changes(step, answer, raw, make)
        except TimeoutError:
            return self._failed(step, turn, began, RuneError(f"took longer than {config.deadline:g} s (deadline)"))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is judged by its error policy
            return self._failed(step, turn, began, error)
        took = perf_counter_ns() - began
        running.nanoseconds += took
        if answer is not None and not answer.continue_processing:
            violation = answer.violation or PluginViolation("refused")
            turn.records.append(Record(config.name, step.hook, "blocked", took, violation.reason))
            running.blocked += 1
            log.info("%s: %s blocked: %s %s", config.name, step.hook, violation.reason, violation.description)
            if step.blocks:
                raise Blocked(config.name, violation)
        elif changed:
            turn.records.append(Record(config.name, step.hook, "changed", took))
            running.changed += 1
            raw.update(changed)
        return set(changed)

    def _failed(self, step: Step, turn: Turn, began: int, error: Exception) -> set[str]:
        running, name = step.plugin, step.config.name
        took = perf_counter_ns() - began
        running.nanoseconds += took
        running.failed += 1
        reason = str(error) if isinstance(error, RuneError) else f"{type(error).__name__}: {error}"
        turn.records.append(Record(name, step.hook, "failed", took, reason))
        log.error("plugin %s: %s %s", name, step.hook, reason, exc_info=None if isinstance(error, RuneError) else error)
        policy = OnError.IGNORE if step.config.mode is PluginMode.ENFORCE_IGNORE_ERROR else step.config.on_error
        if policy is OnError.DISABLE:
            running.disabled = True
            log.error("plugin %s: disabled until the next start", name)
        elif policy is OnError.FAIL:
            # What went wrong inside is for the log: it may hold what the plugin was to hide.
            raise RuneError(f"plugin {name} failed", hint="the log says why; on_error decides what then happens")
        return set()


def _grouped(steps: Sequence[Step]) -> list[tuple[PluginMode | None, tuple[Step, ...]]]:
    """Neighbours that run at the same time are one group; all others are groups of one."""
    groups: list[tuple[PluginMode | None, tuple[Step, ...]]] = []
    for side, members in groupby(steps, key=lambda step: step.side):
        if side is None:
            groups += [(None, (step,)) for step in members]
        else:
            groups.append((side, tuple(members)))
    return groups


def _changes(step: Step, answer: PluginResult[Any], raw: Raw, make: Make) -> Raw:
    """The fields that a plugin has changed and may change."""
    payload = answer.modified_payload
    if payload is None:
        return {}
    before = make(**{key: _decode(value) for key, value in raw.items()})
    changed: Raw = {}
    for name in _fields(before):
        value = getattr(payload, name)
        if value == getattr(before, name):
            continue
        if name in raw and step.changes:
            changed[name] = _encode(value)
        else:
            why = "is not for plugins to change" if step.changes else f"cannot be changed in mode {step.config.mode}"
            log.warning("plugin %s: %s: %s %s", step.config.name, step.hook, name, why)
    return changed


def _fields(payload: Any) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = payload.__dataclass_fields__
    return fields
