"""Hot reload: a changed config becomes a new Gateway, built whole; then it takes the place of the old one. What that
one had and the new one has not ends when its calls have. A config that is no good changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from rune.app import Listen, listening
from rune.app.signals import on_hangup, stop_on_signal
from rune.build import House, late
from rune.config.model import Config
from rune.config.policy import beside
from rune.config.targets import FILES
from rune.errors import RuneError
from rune.gateway import Gateway
from rune.source import Source

log = logging.getLogger("rune.reload")

Load: TypeAlias = Callable[[], Config]
Stamps: TypeAlias = dict[Path, tuple[int, int, int] | None]

LOOK: Final = 1.0
"""Seconds between two looks at the files."""
SETTLE: Final = 0.2
"""Seconds that the files must have been left alone: whoever writes them may not be done."""
FIXED: Final = ("host", "port", "store", "max_body", "keep_alive", "max_sessions", "session_idle", "audit")
"""Keys of `[server]` that hold until the process ends."""


class Rim(Protocol):
    """What faces the clients, whichever gateway is behind it."""

    listen: Listen

    def swap(self, gateway: Gateway, listen: Listen) -> None:
        """Put a newer gateway behind it."""

    def busy(self, source: Source) -> set[asyncio.Task[Any]]:
        """The requests under way that a source answers, or may be about to."""
        ...


class Reloader:
    """Replaces the gateway of a house when its config has changed, one change at a time."""

    def __init__(self, house: House, rim: Rim, load: Load) -> None:
        self._house = house
        self._rim = rim
        self._load = load
        self._first = house.config.server
        self._stamps = _stamps(_watched(house.config))
        self._wanted = asyncio.Event()
        self._leaving: dict[asyncio.Task[None], AsyncExitStack] = {}

    def now(self) -> None:
        """Do not wait until a file changes."""
        self._wanted.set()

    async def run(self) -> None:
        """Watch, until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._wanted.wait()
            seen = _stamps(self._stamps)
            if seen == self._stamps and not self._wanted.is_set():
                continue
            self._wanted.clear()
            self._stamps = await _settled(seen)
            try:
                await self.reload()
            except Exception:
                # The new gateway may be in place already; whatever it was, the next change is looked at again.
                log.exception("%s: a reload failed", self._house.config.path)

    async def reload(self) -> bool:
        """Read the config and do as it says; False when it is no good, and the log says why."""
        config: Config | None = None
        try:
            # Not on the loop: secrets may come from a keyring that takes its time.
            config = await asyncio.to_thread(self._load)
            gateway = await self._house.construct(config)
            gateway.expect_another()
            left = await gateway.succeed(self._house.gateway)
        except RuneError as error:
            hint = f" ({error.hint})" if error.hint else ""
            log.error("%s%s; nothing is changed", error, hint)
            self._watch(() if config is None else _watched(config), error.data)
            return False
        except Exception:
            log.exception("%s: cannot be used; nothing is changed", self._house.config.path)
            return False
        old, former = self._house.gateway, self._house.config
        self._rim.swap(gateway, self._listen(config))
        self._house.move_in(gateway, config)
        self._stamps = {path: self._stamps.get(path, stamp) for path, stamp in _stamps(_watched(config)).items()}
        self._say(former, config, old, gateway)
        for source, life in left.items():
            self._leaving[asyncio.create_task(self._end(source, life))] = life
        # Plugins may hide or change what is listed, each in its way.
        await gateway.announce(old, all=config.plugins != former.plugins)
        del old, former, left
        # A server lets the collector look seldom.
        gc.collect()
        return True

    def _watch(self, more: Iterable[Path], missing: object) -> None:
        """What a config that is no good needs may come later."""
        wanted = [*more, *((missing,) if isinstance(missing, Path) else ())]
        self._stamps |= {path: stamp for path, stamp in _stamps(wanted).items() if path not in self._stamps}

    def _listen(self, config: Config) -> Listen:
        """How to listen from now on: what is fixed stays as it was at the start."""
        fixed = {key: getattr(self._rim.listen, key) for key in FIXED if key in Listen.__dataclass_fields__}
        return replace(listening(config.server), **fixed)

    def _say(self, former: Config, config: Config, old: Gateway, new: Gateway) -> None:
        for key in FIXED:
            value = getattr(config.server, key)
            if value not in (getattr(former.server, key), getattr(self._first, key)):
                log.warning("%s: server.%s holds only after a new start of rune", config.lines[key], key)
        before = {source.name: source for source in old.sources}
        after = {source.name: source for source in new.sources}
        changes = {
            "new": [name for name in after if name not in before],
            "started anew": [name for name in after if name in before and after[name] is not before[name]],
            "removed": [name for name in before if name not in after],
        }
        said = "; ".join(f"{what}: {', '.join(names)}" for what, names in changes.items() if names)
        log.info("%s: loaded again%s%s", config.path or "the targets", "; " if said else "", said)

    async def _end(self, source: Source, life: AsyncExitStack) -> None:
        """End a source that was left behind, once nobody waits for it."""
        house = self._house
        while busy := self._rim.busy(source) | house.parking.busy(source) | house.tasks.busy(source):
            await asyncio.wait(busy)
        try:
            await life.aclose()
        except Exception:
            log.exception("%s: did not end well", source.name)
        task = asyncio.current_task()
        assert task is not None, "each source ends in a task of its own"
        del self._leaving[task]

    async def close(self) -> None:
        """The process ends: nobody is waited for."""
        leaving, self._leaving = self._leaving, {}
        for task in leaving:
            task.cancel()
        if leaving:
            await asyncio.wait(leaving)
        async with AsyncExitStack() as stack:
            for life in leaving.values():
                stack.push_async_exit(life)


@asynccontextmanager
async def serving(house: House, rim: Rim, load: Load | None) -> AsyncIterator[asyncio.Event]:
    """The gateway of the house runs and, where `load` reads its config again, follows it. The event is set by the
    signals that want an end."""
    if load is None:
        async with house, stop_on_signal() as stop:
            yield stop
        return
    reloader = Reloader(house, rim, load)
    house.gateway.expect_another()
    async with house, stop_on_signal() as stop:
        watcher = asyncio.create_task(reloader.run())
        try:
            with on_hangup(reloader.now, stop.set):
                yield stop
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
            await reloader.close()


def _watched(config: Config) -> tuple[Path, ...]:
    """The files that decide what is served."""
    places = [source.file for source in config.sources if source.kind in FILES.values()]
    components = [source for source in config.sources if source.kind == "wasm"]
    policies = (path for source in components for path in beside(source.file))
    accepted = (path for source in components for path in late("watched")(source))
    return *config.files, *places, *policies, *accepted


def _stamps(paths: Iterable[Path]) -> Stamps:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


async def _settled(seen: Stamps) -> Stamps:
    while True:
        await asyncio.sleep(SETTLE)
        before, seen = seen, _stamps(seen)
        if before == seen:
            return seen
