"""Runs plugins: which are asked at a moment, in the order of their priority, and who waits for whom.

`chain.py` knows where in the life of a request which hook belongs; here it is only a name. A plugin gets a payload of
its own each time, decoded anew when it looks: whatever it does to it counts only if it hands it back, and only in the
fields that it may change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence, Set
from functools import partial
from itertools import groupby
from typing import Final, Self

from rune.errors import RuneError
from rune.payloads import Make, Raw
from rune.plugin import HOOKS, Plugin, PluginConfig, PluginMode
from rune.request import Handler
from rune.steps import Blocked, Running, Step, Turn, asked

__all__ = ["Blocked", "Pipeline", "Turn"]

log = logging.getLogger("rune.plugins")

ASIDE: Final = 1000
"""Plugins that may run beside the requests at the same time; more are left out."""

_UNCHANGED: Final[frozenset[str]] = frozenset()


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

    async def run(self, hook: str, raw: dict[str, bytes], make: Make, turn: Turn) -> Set[str]:
        """Ask the plugins of a hook. `make` gets the fields of `raw`; changed ones are put into it.

        Returns the names of the changed fields.

        Raises:
            Blocked: a plugin refuses. RuneError: a plugin failed that must not.
        """
        changed: Set[str] = _UNCHANGED
        # Whoever keeps its payload shall not see what others make of it: what is new goes into a dict of its own.
        now: Raw = raw
        for side, group in self._groups[hook]:
            if side is None:
                if not group[0].plugin.concerns(turn):
                    continue
                ask = group[0].ask(now, make, turn)
                if ask is not None and (new := await ask.finish()):
                    now, changed = {**now, **new}, changed | new.keys()
            elif side is PluginMode.FIRE_AND_FORGET:
                self._beside(group, now, make, turn)
            else:
                await self._together(group, now, make, turn)
        if changed:
            raw.update(now)
        return changed

    async def _together(self, group: Sequence[Step], raw: Raw, make: Make, turn: Turn) -> None:
        """The first one that refuses ends the others."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for step in group:
                    tasks.create_task(asked(step, raw, make, turn))
        except BaseExceptionGroup as several:
            first = several.exceptions[0]
            raise first from None

    def _beside(self, group: Sequence[Step], raw: Raw, make: Make, turn: Turn) -> None:
        """They see what is there now; nobody waits for them."""

        async def watch(step: Step) -> None:
            try:
                await asked(step, raw, make, turn)
            except RuneError as error:
                log.warning("%s", error)

        for step in group:
            if len(self._aside) >= ASIDE:
                log.warning("plugin %s: left out, %d plugins are behind already", step.config.name, ASIDE)
                continue
            task = asyncio.create_task(watch(step))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)


def _grouped(steps: Sequence[Step]) -> list[tuple[PluginMode | None, tuple[Step, ...]]]:
    """Neighbours that run at the same time are one group; all others are groups of one."""
    groups: list[tuple[PluginMode | None, tuple[Step, ...]]] = []
    for side, members in groupby(steps, key=lambda step: step.side):
        if side is None:
            groups += [(None, (step,)) for step in members]
        else:
            groups.append((side, tuple(members)))
    return groups
