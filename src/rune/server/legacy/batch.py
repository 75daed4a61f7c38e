"""JSON-RPC batches, which exactly one revision has (2025-03-26)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import error_frame
from rune.server.legacy.session import Session
from rune.server.reply import Reply
from rune.server.run import Guard

REVISION: Final = "2025-03-26"
LIMIT: Final = 128


def answer_batch(session: Session, data: bytes, reply: Reply) -> Coroutine[Any, Any, bytes | None] | None:
    """The job that answers a batch with an array (None: nothing to answer), or None when this is no legal batch."""
    members = jsonrpc.read_batch(data) if session.revision == REVISION else None
    if members is None or len(members) > LIMIT:
        return None
    return _answer(session, members, reply)


async def _answer(session: Session, members: list[bytes], reply: Reply) -> bytes | None:
    frames = await asyncio.gather(*(_member(session, member, reply) for member in members))
    answers = [frame for frame in frames if frame is not None]
    return b"[%b]" % b",".join(answers) if answers else None


async def _member(session: Session, data: bytes, reply: Reply) -> bytes | None:
    try:
        message = jsonrpc.opened(data)
    except jsonrpc.Malformed as error:
        return error_frame(error.id, error.code, error.message)
    if message.is_request:
        guard = Guard()
        guard.suspended()
        return await session.answer(message, reply, guard)
    session.hear(message)
    return None
