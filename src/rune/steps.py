"""One plugin is asked once: with its deadline, its rights and its error policy, from our copy of its config.

`pipeline.py` says which plugins are asked at a moment, and in which order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, Final, Self, TypeAlias

import msgspec

from rune.errors import ConfigError, ProtocolError, RuneError
from rune.payloads import NOTHING, Given, Raw, lazy, shown, touched
from rune.plugin import (
    HOOKS,
    OnError,
    Plugin,
    PluginConfig,
    PluginContext,
    PluginMode,
    PluginResult,
    PluginViolation,
)
from rune.records import Record, tell
from rune.server.run import begin
from rune.turn import Turn

log = logging.getLogger("rune.plugins")

Call: TypeAlias = Callable[[Any, PluginContext], Coroutine[Any, Any, PluginResult[Any] | None]]

BLOCKED: Final = -31000
"""What a client gets for something that a plugin refuses, where the plugin names no other code."""

_encode = msgspec.json.Encoder().encode


class Blocked(ProtocolError):
    """A plugin has refused something."""

    def __init__(self, plugin: str, violation: PluginViolation) -> None:
        code = BLOCKED if violation.mcp_error_code is None else violation.mcp_error_code
        data = {"plugin": plugin, **({"code": violation.code} if violation.code else {})}
        super().__init__(code, f"blocked by {plugin}: {violation.reason}", data=data)
        self.violation = violation


class Step:
    """One hook of one plugin."""

    __slots__ = (
        "blocks", "call", "changes", "config", "content", "hook", "largest", "name", "passing", "payload", "plugin",
        "side",
    )  # fmt: skip

    def __init__(self, plugin: Running, hook: str) -> None:
        self.plugin = plugin
        self.hook = hook
        self.config = plugin.config
        self.call: Call = getattr(plugin.plugin, hook)
        self.payload = lazy(HOOKS[hook].payload)
        self.content = HOOKS[hook].content
        self.name = self.config.name
        self.largest = self.config.max_content_size
        self.passing = plugin.plugin.passing(hook)
        mode = self.config.mode
        self.blocks, self.changes = mode.blocks, mode.changes
        # The modes that do not take their turn one after the other.
        self.side = mode if mode in (PluginMode.CONCURRENT, PluginMode.FIRE_AND_FORGET) else None

    def ask(self, raw: Raw, turn: Turn, given: Given | None, loud: bool = False) -> Ask | None:
        """Ask the plugin. None when it has nothing to say, as most of the time, or is not concerned. `given` is what it
        is shown besides, if that is not what the turn knows; `loud` says that it has something to say.

        Raises:
            RuneError: it failed, and must not.
        """
        running = self.plugin
        if running.picky and not running.concerns(turn):
            return None
        running.calls += 1
        began = perf_counter()
        answer = rest = None
        try:
            if len(raw[self.content]) > self.largest:
                raise RuneError(f"was given more than {self.largest} bytes (max_content_size)")
            if loud or self.passing is None or not self.passing(raw, turn.caller):
                given = given or turn.given
                answer, rest = begin(self.call(shown(self.payload, raw, given), turn.context(self.name)))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is judged by its error policy
            Ask(self, raw, turn, given, began).failed(error)
            return None
        took = perf_counter() - began
        if rest is not None or (
            answer is not None and (answer.modified_payload is not None or not answer.continue_processing)
        ):
            return Ask(self, raw, turn, given, began).told(answer, rest)
        running.seconds += took
        return None


class Running:
    """A plugin with its config, and what has become of it. Counts are since the start."""

    def __init__(self, plugin: Plugin, config: PluginConfig) -> None:
        self.plugin = plugin
        self.config = config
        self.disabled = config.mode is PluginMode.DISABLED
        self.picky = self.disabled or bool(config.conditions)
        """Whether `concerns` may say no."""
        self.calls = self.changed = self.blocked = self.failed = 0
        self.seconds = 0.0

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


class Ask:
    """One plugin is asked once. What it may not do it has not done."""

    __slots__ = ("_answer", "_began", "_given", "_raw", "_rest", "_step", "_turn")

    def __init__(self, step: Step, raw: Raw, turn: Turn, given: Given | None, began: float) -> None:
        self._step = step
        self._raw = raw
        self._given = given
        self._turn = turn
        self._began = began
        self._answer: PluginResult[Any] | None = None
        self._rest: Coroutine[Any, Any, PluginResult[Any] | None] | None = None

    def told(
        self, answer: PluginResult[Any] | None, rest: Coroutine[Any, Any, PluginResult[Any] | None] | None
    ) -> Self:
        """It has said something, or needs more time."""
        self._answer, self._rest = answer, rest
        return self

    async def finish(self) -> Raw:
        """What it has changed, once it is done.

        Raises:
            Blocked: it refuses. RuneError: it failed, and must not.
        """
        step, answer = self._step, self._answer
        try:
            if self._rest is not None:
                async with asyncio.timeout(step.config.deadline):
                    answer = await self._rest
            elif perf_counter() - self._began > step.config.deadline:
                # It has never waited, so that no timer could end it.
                raise TimeoutError
            new = NOTHING if answer is None else _changes(step, answer, self._raw, self._given or self._turn.given)
        except TimeoutError:
            self.failed(RuneError(f"took longer than {step.config.deadline:g} s (deadline)"))
            return NOTHING
        except Exception as error:  # noqa: BLE001 - see begin
            self.failed(error)
            return NOTHING
        if answer is not None and not answer.continue_processing:
            self._refused(answer.violation or PluginViolation("refused"))
            return NOTHING
        if new:
            step.plugin.changed += 1
            self._record("changed")
        else:
            step.plugin.seconds += perf_counter() - self._began
        return new

    def _refused(self, violation: PluginViolation) -> None:
        self._step.plugin.blocked += 1
        self._record("blocked", violation.reason, violation.description)
        if self._step.blocks:
            raise Blocked(self._step.name, violation)

    def failed(self, error: Exception) -> None:
        """It went wrong: its error policy says whether the request does too.

        Raises:
            RuneError: it does.
        """
        step, running = self._step, self._step.plugin
        running.failed += 1
        reason = str(error) if isinstance(error, RuneError) else f"{type(error).__name__}: {error}"
        self._record("failed", reason)
        log.error(
            "plugin %s: %s %s", step.name, step.hook, reason, exc_info=None if isinstance(error, RuneError) else error
        )
        policy = OnError.IGNORE if step.config.mode is PluginMode.ENFORCE_IGNORE_ERROR else step.config.on_error
        if policy is OnError.DISABLE:
            running.disabled = running.picky = True
            log.error("plugin %s: disabled until the next start", step.name)
        elif policy is OnError.FAIL:
            # What went wrong inside is for the log: it may hold what the plugin was to hide.
            raise RuneError(f"plugin {step.name} failed", hint="the log says why; on_error decides what then happens")

    def _record(self, status: str, reason: str = "", more: str = "") -> None:
        """What it did is written down, and how long it took counts."""
        took = perf_counter() - self._began
        self._step.plugin.seconds += took
        record = Record(self._step.name, self._step.hook, status, took, reason, more)
        self._turn.records.append(record)
        tell(record, self._turn.facts, self._turn.shared)


async def asked(step: Step, raw: Raw, turn: Turn, given: Given | None) -> None:
    """One that may not change anything."""
    ask = step.ask(raw, turn, given)
    if ask is not None:
        await ask.finish()


def _changes(step: Step, answer: PluginResult[Any], raw: Raw, given: Given) -> Raw:
    """The fields that a plugin has changed and may change."""
    payload = answer.modified_payload
    if payload is None:
        return NOTHING
    before = shown(step.payload, raw, given)
    changed: dict[str, bytes] = {}
    # What nobody has looked at in a payload of ours nobody has changed.
    for name in touched(payload) if type(payload) is type(before) else before.__dataclass_fields__:
        value = getattr(payload, name)
        if value == getattr(before, name):
            continue
        if name in raw and step.changes:
            changed[name] = _encode(value)
        else:
            why = "is not for plugins to change" if step.changes else f"cannot be changed in mode {step.config.mode}"
            log.warning("plugin %s: %s: %s %s", step.config.name, step.hook, name, why)
    return changed
