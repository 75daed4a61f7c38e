"""`cache`: answers of tools that only read, kept for a while for the caller that they were given to."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from rune.errors import ConfigError
from rune.plugin import Plugin, PluginConfig
from rune.request import Handler, Request, Result
from rune.source import Source, Target
from rune.stores.pressed import LEAST, PressedStore

if TYPE_CHECKING:
    from rune.zstd import Press

KEYS: Final = ("ttl", "entries", "bytes", "tools")
LARGEST: Final = 8
"""One answer may take the part of all bytes that this says: 1/8."""

_sorted = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class Kept(NamedTuple):
    """An answer: until when it is good, and for which life of its source."""

    until: float
    life: int
    raw: bytes
    press: Press | None = None
    """What it was compressed with."""

    @property
    def answer(self) -> bytes:
        """As it was given."""
        return self.raw if self.press is None else self.press.unpack(self.raw)


class Cache(Plugin):
    """Config: `ttl` in seconds, `entries`, `bytes`; `tools` are globs over names as clients see them, for tools that do
    not say of themselves that they only read (`readOnlyHint`).

    A call of any other tool of a source may have changed what its tools say: all of them are forgotten then. What
    failed, what asks and what was asked is never kept.

    Raises:
        ConfigError: for values that cannot be, and for other keys.
    """

    def __init__(self, config: PluginConfig, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(config)
        given = config.options(*KEYS)
        self._ttl = _above_zero(given, "ttl", 60)
        self._entries = _above_zero(given, "entries", 1000)
        self._bytes = _above_zero(given, "bytes", 64 * 1024 * 1024)
        tools = given.get("tools", [])
        if not isinstance(tools, list) or not all(isinstance(each, str) for each in tools):
            raise ConfigError("tools must be a list of texts")
        self._tools = tuple(tools)
        self._clock = clock
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._size = 0
        self._lives: WeakKeyDictionary[Source, int] = WeakKeyDictionary()
        self._born = 0
        self.hits = self.misses = 0

    async def handle(self, request: Request, next: Handler) -> Result:
        target = request.target
        if request.method != "tools/call" or target is None:
            return await next(request)
        if not self._reads(target):
            try:
                return await next(request)
            finally:
                self._renew(target.source)
        if request.answers or request.state or "task" in request.params:
            return await next(request)
        key, life = self._key(request, target), self._life(target.source)
        kept = self._kept.get(key)
        if kept is not None and kept.life == life and self._clock() < kept.until:
            self._kept.move_to_end(key)
            self.hits += 1
            return Result(kept.answer)
        self.misses += 1
        result = await next(request)
        # Whatever has happened meanwhile may have come too late for this answer.
        if result.kind == "complete" and self._life(target.source) == life and not _failed(result):
            self._keep(key, Kept(self._clock() + self._ttl, life, *self._packed(bytes(result.raw))))
        return result

    def _reads(self, target: Target) -> bool:
        if any(fnmatchcase(target.shown or target.name, glob) for glob in self._tools):
            return True
        if target.item is None or b"readOnlyHint" not in target.item.raw:
            return False
        annotations = target.item.value.get("annotations")
        return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True

    def _key(self, request: Request, target: Target) -> bytes:
        """All that an answer may depend on: who asks, with which rights and abilities, and what."""
        caller = request.caller
        raw = request.params.get("arguments", b"{}")
        parts = [
            caller.subject, sorted(caller.scopes), dict(caller.claims), request.abilities, request.older,
            target.source.name, target.name, _decode(raw),
        ]  # fmt: skip
        return hashlib.sha256(_sorted(parts)).digest()

    def _life(self, source: Source) -> int:
        life = self._lives.get(source)
        return self._renew(source) if life is None else life

    def _renew(self, source: Source) -> int:
        """What its tools have said is no longer good."""
        self._born += 1
        self._lives[source] = self._born
        return self._born

    def _packed(self, raw: bytes) -> tuple[bytes, Press | None]:
        press = self.store.press if isinstance(self.store, PressedStore) else None
        return (raw, None) if press is None or len(raw) < LEAST else (press.pack(raw), press)

    def _keep(self, key: bytes, kept: Kept) -> None:
        if len(kept.raw) > self._bytes / LARGEST:
            return
        before = self._kept.pop(key, None)
        self._size += len(kept.raw) - (0 if before is None else len(before.raw))
        self._kept[key] = kept
        while len(self._kept) > self._entries or self._size > self._bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size -= len(oldest.raw)


def _failed(result: Result) -> bool:
    return b'"isError"' in result.raw and result.value.get("isError") is not False


def _above_zero(given: dict[str, Any], key: str, default: int) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{key} must be a number above 0")
    return value
