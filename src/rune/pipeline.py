"""Runs plugins: which are asked at a moment, in the order of their priority, and who waits for whom.

`chain.py` knows where in the life of a request which hook belongs; here it is only a name. A plugin gets a payload of
its own each time, decoded anew when it looks: whatever it does to it counts only if it hands it back, and only in the
fields that it may change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence, Set
from functools import partial
from itertools import groupby, takewhile
from time import perf_counter
from typing import Any, Final, Self, TypeAlias

from rune.coding import Coding
from rune.errors import RuneError
from rune.payloads import Given, Raw
from rune.plugin import HOOKS, Plugin, PluginConfig, PluginMode
from rune.request import Handler
from rune.steps import Ask, Blocked, Running, Step, asked
from rune.turn import Turn

__all__ = ["Blocked", "Pipeline"]

log = logging.getLogger("rune.plugins")

ASIDE: Final = 1000
"""Plugins that may run beside the requests at the same time; more are left out."""

Group: TypeAlias = "tuple[PluginMode | None, tuple[Step, ...]]"
Rest: TypeAlias = Coroutine[Any, Any, Set[str]]

UNCHANGED: Final[frozenset[str]] = frozenset()


class Plan:
    """The plugins of one hook. Neighbours that run at the same time are one of `groups`, all others are groups of one;
    those before the first of the former are `alone`, and of these the first ones `quick` that tell without being
    asked."""

    __slots__ = ("alone", "content", "groups", "least", "quick", "size")

    def __init__(self, hook: str, steps: Sequence[Step]) -> None:
        self.content = HOOKS[hook].content
        groups: list[Group] = []
        for side, members in groupby(steps, key=lambda step: step.side):
            if side is None:
                groups += [(None, (step,)) for step in members]
            else:
                groups.append((side, tuple(members)))
        self.groups = tuple(groups)
        self.size = len(groups)
        self.alone = tuple(step for _, (step, *_) in takewhile(lambda group: group[0] is None, groups))
        self.least = min((step.largest for step in self.alone), default=0)
        quick = []
        for step in self.alone:
            if step.passing is None or step.plugin.picky:
                break
            quick.append((step.passing, step.plugin))
        self.quick = tuple(quick)


class Pipeline:
    """All plugins of a gateway. Entered while it serves."""

    def __init__(self, plugins: Sequence[tuple[Plugin, PluginConfig]]) -> None:
        self.plugins = tuple(Running(*pair) for pair in sorted(plugins, key=lambda pair: pair[1].priority))
        steps: dict[str, list[Step]] = {hook: [] for hook in HOOKS}
        for running in self.plugins:
            for hook in [] if running.disabled else running.hooks():
                steps[hook].append(Step(running, hook))
        self._plans = {hook: Plan(hook, entries) for hook, entries in steps.items()}
        self._around = tuple(running for running in reversed(self.plugins) if running.wraps())
        self.wraps = bool(self._around)
        """Whether any plugin stands around the calls themselves."""
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

    @property
    def coding(self) -> Coding | None:
        """How whole HTTP answers are coded, if a plugin says so."""
        running = (each.plugin for each in self.plugins if each.config.mode is not PluginMode.DISABLED)
        found = (getattr(plugin, "coding", None) for plugin in running)
        return next((coding for coding in found if isinstance(coding, Coding)), None)

    def has(self, hook: str) -> bool:
        """Whether any plugin wants to be asked at this moment."""
        return bool(self._plans[hook].groups)

    def around(self, below: Handler, turn: Turn) -> Handler:
        """What answers, with the plugins around it that have a `handle`: the first by priority is the outermost."""
        for running in self._around:
            if running.concerns(turn):
                running.calls += 1
                below = partial(running.plugin.handle, next=below)  # type: ignore[attr-defined]
        return below

    def guards(self, hook: str, note: str) -> bool:
        """Whether a plugin that may stop or change something at `hook` would not see what leaves by `note`."""
        there = {step.plugin for _, group in self._plans[note].groups for step in group}
        return any(
            (step.blocks or step.changes) and step.plugin not in there
            for _, group in self._plans[hook].groups
            for step in group
        )

    def start(self, hook: str, raw: dict[str, bytes], turn: Turn, given: Given | None = None) -> Rest | None:
        """Ask the plugins of a hook as `run` does. None when none of them has anything to say, as most of the time:
        then nothing has to be awaited.

        Raises:
            RuneError: see `run`.
        """
        plan, caller, at, loud = self._plans[hook], turn.caller, 0, False
        began = perf_counter()
        try:
            for passing, running in plan.quick if len(raw[plan.content]) <= plan.least else ():
                if running.disabled:
                    break
                if not passing(raw, caller):
                    loud = True
                    break
                now = perf_counter()
                running.calls += 1
                running.seconds += now - began
                began = now
                at += 1
        except Exception:  # noqa: BLE001 - it is asked again below, where its error policy is
            loud = False
        if at == plan.size:
            return None
        for step in plan.alone[at:]:
            ask = step.ask(raw, turn, given, loud)
            if ask is not None:
                return self._rest(plan.groups[at:], ask, raw, turn, given)
            at, loud = at + 1, False
        return self._rest(plan.groups[at:], None, raw, turn, given) if at < plan.size else None

    async def run(self, hook: str, raw: dict[str, bytes], turn: Turn, given: Given | None = None) -> Set[str]:
        """Ask the plugins of a hook. `raw` are the fields that they may change; changed ones are put into it. `given`
        are those that they are shown besides, where that is not what the turn knows.

        Returns the names of the changed fields.

        Raises:
            Blocked: a plugin refuses. RuneError: a plugin failed that must not.
        """
        rest = self.start(hook, raw, turn, given)
        return UNCHANGED if rest is None else await rest

    async def _rest(
        self, groups: Sequence[Group], ask: Ask | None, raw: dict[str, bytes], turn: Turn, given: Given | None
    ) -> Set[str]:
        """The plugins of a hook from one on, which may have said something already."""
        changed: Set[str] = UNCHANGED
        # Whoever keeps its payload shall not see what others make of it: what is new goes into a dict of its own.
        now: Raw = raw
        for side, group in groups:
            if side is None:
                ask = ask or group[0].ask(now, turn, given)
                if ask is not None and (new := await ask.finish()):
                    now, changed = {**now, **new}, changed | new.keys()
                ask = None
            elif side is PluginMode.FIRE_AND_FORGET:
                self._beside(group, now, turn, given)
            else:
                await self._together(group, now, turn, given)
        if changed:
            raw.update(now)
        return changed

    async def _together(self, group: Sequence[Step], raw: Raw, turn: Turn, given: Given | None) -> None:
        """The first one that refuses ends the others."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for step in group:
                    tasks.create_task(asked(step, raw, turn, given))
        except BaseExceptionGroup as several:
            first = several.exceptions[0]
            raise first from None

    def _beside(self, group: Sequence[Step], raw: Raw, turn: Turn, given: Given | None) -> None:
        """They see what is there now; nobody waits for them."""

        async def watch(step: Step) -> None:
            try:
                await asked(step, raw, turn, given)
            except RuneError as error:
                log.warning("%s", error)

        for step in group:
            if len(self._aside) >= ASIDE:
                log.warning("plugin %s: left out, %d plugins are behind already", step.config.name, ASIDE)
                continue
            task = asyncio.create_task(watch(step))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)
