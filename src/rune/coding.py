"""Content-coding of whole HTTP answers: what a client accepts, and which answers may be coded at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, TypeAlias

from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Malformed

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

VARY: Final = (b"vary", b"accept-encoding")
LISTS: Final = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list"}
)
"""What every caller sees alike, and nobody puts a word of his own into."""
NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ASIDE: Final = 128 * 1024
"""Bytes from which on the event loop does not wait for it."""

_WEIGHT: Final = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


class Way(NamedTuple):
    """One coding: on the event loop, and in another thread."""

    code: Callable[[bytes], bytes]
    aside: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Coding:
    """`ways` by their name in Accept-Encoding, the best first. Answers below `minimum` bytes are left alone; of those
    which may hold what belongs to one caller only those are coded that are named here (globs)."""

    ways: Mapping[str, Way]
    minimum: int = 500
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    def agreed(self, headers: Headers, body: bytes | bytearray) -> str | None:
        """The coding that a client prefers for the answer to its request; None where that is to be left alone."""
        accepted = b",".join(value for name, value in headers if name == b"accept-encoding")
        name = preferred(accepted, tuple(self.ways)) if accepted else None
        return name if name is not None and self._may(bytes(body)) else None

    def _may(self, body: bytes) -> bool:
        try:
            message = jsonrpc.opened(body)
            if not message.is_request or message.method in LISTS:
                return message.is_request
            method = str(message.method)
            name = jsonrpc.decode(message.members[NAMED[method]])
        except (Malformed, LookupError, ValueError):
            # Whatever is wrong with it: the endpoint says so, in plain words.
            return False
        globs = {"tools/call": self.tools, "prompts/get": self.prompts, "resources/read": self.resources}[method]
        return isinstance(name, str) and any(fnmatchcase(name, glob) for glob in globs)

    async def coded(self, name: str | None, body: bytes, headers: Headers) -> tuple[bytes, Headers]:
        """An answer in the coding that was agreed on; as it is where that would not make it smaller."""
        headers = (*headers, VARY)
        if name is None or len(body) < self.minimum:
            return body, headers
        way = self.ways[name]
        made = way.code(body) if len(body) < ASIDE else await asyncio.to_thread(way.aside, body)
        if len(made) >= len(body):
            return body, headers
        return made, (*headers, (b"content-encoding", name.encode()))


def preferred(accepted: bytes, names: tuple[str, ...]) -> str | None:
    """Which of our codings an Accept-Encoding likes best (RFC 9110, 12.5.3); the first of those that it likes alike,
    None for the answer as it is. What cannot be read is passed over."""
    weights: dict[str, float] = {}
    for entry in accepted.lower().split(b","):
        coding, _, weight = entry.strip().partition(b";")
        found = _WEIGHT.fullmatch(weight.strip()) if weight else None
        if coding and (found or not weight):
            key = coding.strip().removeprefix(b"x-").decode("latin-1")
            weights[key] = float(found[1]) if found else 1.0
    others = weights.get("*", 0.0)
    best = max(names, key=lambda name: weights.get(name, others), default=None)
    if best is None:
        return None
    liked = weights.get(best, others)
    return best if liked > 0 and liked >= weights.get("identity", 0.0) else None
