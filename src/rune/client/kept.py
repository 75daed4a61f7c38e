"""Answers that hold for a while are not asked for again: lists, resources and discovery, as the server allows it.

The rule is that of `protocol/freshness.py`. What is private is found again only by who asks with the same credential.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Mapping
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from rune.client.calls import Auth
from rune.protocol import jsonrpc
from rune.protocol.freshness import freshness, outdated
from rune.protocol.methods import METHODS
from rune.request import Note, Result
from rune.source import note_key

ENTRIES: Final = 1000
SIZE: Final = 16 * 1024 * 1024
UPDATED: Final = "notifications/resources/updated"
_ANYBODY: Final = ""


class Spot(NamedTuple):
    """Which client asks where: the place of a server, the revision that is spoken with it, and what it was told of the
    client's capabilities."""

    place: Hashable
    revision: str
    abilities: bytes


class Ask(NamedTuple):
    """What is asked: a method, and the cursor or URI that matters."""

    spot: Spot
    method: str
    what: bytes


class Entry(NamedTuple):
    raw: bytes
    until: float


class Cache:
    """Answers of servers until their time is over. Several clients may share one, also from several threads: of what is
    `private` none sees that of another credential. The oldest goes when there are more than `entries`, or more than
    `size` bytes in all."""

    def __init__(self, *, entries: int = ENTRIES, size: int = SIZE) -> None:
        self._most, self._room = entries, size
        self._entries: dict[tuple[Ask, str], Entry] = {}
        self._size = 0
        self._changes: dict[tuple[Hashable, str], int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def find(self, ask: Ask, who: str | None) -> bytes | None:
        """The answer to this for somebody with this credential; None is somebody of whom nothing is known."""
        now = monotonic()
        with self._lock:
            for owner in (_ANYBODY,) if who is None else (who, _ANYBODY):
                entry = self._take(ask, owner)
                if entry is not None and entry.until > now:
                    self._put(ask, owner, entry)
                    return entry.raw
        return None

    def age(self, ask: Ask) -> int:
        """How often what is asked has changed: an answer from before a change is not kept."""
        return self._changes.get((ask.spot.place, ask.method), 0)

    def keep(self, ask: Ask, who: str | None, raw: bytes, age: int) -> None:
        """Keep an answer for as long as it says; in any case it replaces the last one."""
        ttl, private = freshness(jsonrpc.read_object(raw))
        with self._lock:
            former = [self._take(ask, owner) for owner in {who or _ANYBODY, _ANYBODY}]
            if METHODS[ask.method].members is not None:
                private = self._agree(ask, who, private, all(entry is None or entry.raw != raw for entry in former))
            owner = who if private else _ANYBODY
            if ttl and owner is not None and age == self.age(ask) and len(raw) <= self._room:
                self._put(ask, owner, Entry(raw, monotonic() + ttl / 1000))
                while len(self._entries) > self._most or self._size > self._room:
                    self._take(*next(iter(self._entries)))

    def _agree(self, ask: Ask, who: str | None, private: bool, new: bool) -> bool:
        """All pages of a list are for the same people: for the fewest that one of them is for. Behind a new first page
        there are other pages."""
        pages = [(other, owner) for other, owner in self._entries if other[:2] == ask[:2] and owner in (who, _ANYBODY)]
        private = private or any(owner != _ANYBODY for _, owner in pages)
        for other, owner in pages:
            if (private and owner == _ANYBODY) or (new and not ask.what):
                self._take(other, owner)
        return private

    def noted(self, place: Hashable, note: Note) -> None:
        """Something has changed at a server: nobody gets what was said of it before."""
        methods = ("resources/read",) if note.method == UPDATED else outdated(note.method)
        what = jsonrpc.encode(note_key(note, "uri")) if note.method == UPDATED else None
        with self._lock:
            for method in methods:
                self._changes[place, method] = self._changes.get((place, method), 0) + 1
            for ask, owner in tuple(self._entries):
                if ask.spot.place == place and ask.method in methods and what in (None, ask.what):
                    self._take(ask, owner)

    def _take(self, ask: Ask, owner: str) -> Entry | None:
        entry = self._entries.pop((ask, owner), None)
        self._size -= 0 if entry is None else len(entry.raw)
        return entry

    def _put(self, ask: Ask, owner: str, entry: Entry) -> None:
        self._entries[ask, owner] = entry
        self._size += len(entry.raw)


class Kept:
    """The part of a cache that one client sees. `who` is its credential of now, None while that is not known."""

    def __init__(self, cache: Cache, spot: Spot, who: Callable[[], str | None]) -> None:
        self._cache = cache
        self._spot = spot
        self._who = who

    def ask(self, method: str, params: Mapping[str, msgspec.Raw]) -> Asked | None:
        """About to ask: None for what is never kept."""
        if not METHODS[method].cacheable:
            return None
        what = bytes(params.get("uri") or params.get("cursor") or b"")
        return Asked(self._cache, Ask(self._spot, method, what), self._who)

    def noted(self, note: Note) -> None:
        """The server says that something has changed."""
        self._cache.noted(self._spot.place, note)


class Asked:
    """One question that may have an answer already."""

    def __init__(self, cache: Cache, ask: Ask, who: Callable[[], str | None]) -> None:
        self._cache, self._ask, self._who = cache, ask, who
        self._before = who()
        self._age = cache.age(ask)

    def known(self) -> Result | None:
        """The answer that is kept."""
        raw = self._cache.find(self._ask, self._before)
        return None if raw is None else Result(raw)

    def answered(self, result: Result) -> None:
        """The answer that has come. Where the credential has changed meanwhile, nobody knows whose it is."""
        who = self._who()
        self._cache.keep(self._ask, who if self._before in (None, who) else None, result.raw, self._age)


def credential(headers: Mapping[str, str], auth: Auth | None, url: str) -> Callable[[], str | None]:
    """Says as whom a client asks: a digest of its headers and of what proves who it is. None while that must be waited
    for. A proof that is good for one exchange is no part of it."""
    fixed = sorted((name.lower(), value) for name, value in headers.items())

    def who() -> str | None:
        proof = {} if auth is None else auth.now("POST", url)
        if proof is None:
            return None
        said = sorted((name.lower(), value) for name, value in proof.items() if name.lower() != "dpop")
        return hashlib.sha256(jsonrpc.encode([fixed, said])).hexdigest()

    return who
