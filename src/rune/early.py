"""What leaves while a call runs, on its way past the plugins: progress, log lines, pieces of a streamed result.

`chain.py` puts a `Screen` around each call and lets this judge its notes. Who is shown the pieces of a text may hold
some of it back, until it has seen how it goes on; what is held at the end leaves before the result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from rune.notes import Judge
from rune.pipeline import Pipeline
from rune.protocol import jsonrpc
from rune.request import PIECE, Note
from rune.turn import Turn

log = logging.getLogger("rune.plugins")

PROGRESS: Final = "notifications/progress"
MESSAGE: Final = "notifications/message"
END: Final = Note("")
"""Follows the last note of a call."""

Members: TypeAlias = dict[str, Any]

_SHOWN: Final = {"progress_pre_send": ("progress", "total"), "log_pre_send": ("level", "logger")}
_MARK: Final = msgspec.json.encode(PIECE)
_encode = jsonrpc.encode


class Early:
    """Judges notes of calls. `hooks` are those that look at results, by method: what one of them would stop there must
    not leave here unseen."""

    def __init__(self, pipeline: Pipeline, hooks: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self._said: set[str] = set()
        self._drops = {(method, note): pipeline.guards(hook, note) for method, hook in hooks.items() for note in _SHOWN}
        hears = any(map(pipeline.has, _SHOWN))
        self.free = frozenset(
            method for method in hooks if not hears and not any(self._drops[method, note] for note in _SHOWN)
        )
        """Methods whose notes may leave unseen."""

    def call(self, method: str, turn: Turn) -> Judge:
        """What judges the notes of one call, in their order; after END nothing of a text is held back any more."""
        return Call(self, method, turn).judge

    async def note(self, method: str, turn: Turn, note: Note, *, last: bool = False) -> Note | None:
        """One note as it may leave. None: it does not."""
        if note.method not in (PROGRESS, MESSAGE):
            return note
        hook, key = ("progress_pre_send", "message") if note.method == PROGRESS else ("log_pre_send", "data")
        members: Members = dict(jsonrpc.read_object(note.params))
        if key not in members:
            return note
        if self._drops[method, hook]:
            return self._silenced(note, members, hook)
        if not self._pipeline.has(hook):
            return note
        fields = {key: bytes(members[key])}
        values = {each: jsonrpc.decode(members[each]) for each in _SHOWN[hook] if each in members}
        given = {"name": turn.name, **values}
        if hook == "progress_pre_send":
            given |= {"piece": _is_piece(members), "last": last}
        if not await self._pipeline.run(hook, fields, turn, given):
            return note
        if fields[key] in (b'""', b"null") and hook == "progress_pre_send":
            # All of its text was held back or taken out: how far the call is may still be known.
            del members[key]
        else:
            members[key] = msgspec.Raw(fields[key])
        return note._replace(params=_encode(members))

    def _silenced(self, note: Note, members: Members, hook: str) -> Note | None:
        """Text that a plugin would look at in the result, but not here, does not leave; numbers do."""
        if hook not in self._said:
            self._said.add(hook)
            log.warning("text in %s is left out: a plugin looks at results and has no %s", note.method, hook)
        if hook == "log_pre_send":
            return None
        del members["message"]
        return note._replace(params=_encode(members))


class Call:
    """The notes of one call in their order."""

    __slots__ = ("_early", "_latest", "_method", "_pieces", "_turn")

    def __init__(self, early: Early, method: str, turn: Turn) -> None:
        self._early = early
        self._method = method
        self._turn = turn
        self._latest: Note | None = None
        self._pieces = False

    async def judge(self, note: Note) -> Note | None:
        """One of them; None where it does not leave."""
        if note is END:
            return await self._rest()
        if note.method == PROGRESS:
            self._latest = note
            self._pieces = self._pieces or _MARK in note.params
        return await self._early.note(self._method, self._turn, note)

    async def _rest(self) -> Note | None:
        """Ask once more, with no text: what comes is what was held."""
        if self._latest is None or not self._pieces:
            return None
        members: Members = dict(jsonrpc.read_object(self._latest.params))
        members["progress"] = math.nextafter(jsonrpc.decode(members["progress"]), math.inf)
        note = Note(PROGRESS, _encode({**members, "message": "", "_meta": {PIECE: True}}))
        seen = await self._early.note(self._method, self._turn, note, last=True)
        return None if seen is note else seen


def _is_piece(members: Members) -> bool:
    return "_meta" in members and _MARK in bytes(members["_meta"])
