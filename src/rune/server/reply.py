"""Where the notes of one exchange go while it is being answered."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import note_frame
from rune.protocol.modern import SUBSCRIPTION_KEY
from rune.request import Emit, Note


class Reply(Emit):
    """The way back to the client of one exchange: the stream of an HTTP answer, or a whole connection.

    It is the `emit` of a modern request as it stands: a note becomes a frame.
    """

    __slots__ = ()

    def push(self, frame: bytes, topic: str) -> None:
        """Send without waiting. `topic` says what a notification is about, which may be coalesced; else empty."""

    def __call__(self, note: Note) -> None:
        self.push(note_frame(note.method, note.params), note.method)


def topic(note: Note, params: Mapping[str, msgspec.Raw]) -> str:
    """What a note of a listen is about: only the next one about the same thing may take its place in a full queue."""
    about = params.get("uri") or params.get("taskId") or b""
    return f"{note.method} {bytes(about).decode()}"


class ListenEmit(Emit):
    """The `emit` of a listen: every note carries the id of the request it belongs to."""

    __slots__ = ("_member", "_reply")

    def __init__(self, reply: Reply, id: jsonrpc.Id) -> None:
        self._reply = reply
        self._member = b'"%b":%b' % (SUBSCRIPTION_KEY.encode(), jsonrpc.encode(id))

    def __call__(self, note: Note) -> None:
        params = jsonrpc.read_object(note.params)
        meta = bytes(params.pop("_meta", b"{}"))
        framed = jsonrpc.splice(jsonrpc.encode(params), b'"_meta":' + jsonrpc.splice(meta, self._member))
        self._reply.push(note_frame(note.method, framed), topic(note, params))

    async def room(self) -> None:
        await self._reply.room()
