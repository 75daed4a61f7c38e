"""The lean core as a raw ASGI app on uvicorn: `python -m bench.limit.asgi PORT`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from bench.limit import core

Message = MutableMapping[str, Any]
TYPE = (b"content-type", b"application/json")


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    if scope["method"] == "DELETE":
        status, answer, session = 204, b"", None
    else:
        headers = {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}
        status, answer, session = await core.post(body, headers)
    head = [TYPE, (b"content-length", b"%d" % len(answer))]
    if session:
        head.append((b"mcp-session-id", session.encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False, lifespan="off")
