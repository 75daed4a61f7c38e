"""The carriers of HTTP where a plugin codes whole answers; where there is none, nothing of this is on the way.

Streams are never coded: each of their events leaves at once, and their heads say `no-transform`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rune.coding import Coding
from rune.server.asgi import App, Message, Receive, Scope, Send
from rune.server.endpoint import Endpoint
from rune.server.exchange import JSON, Headers
from rune.server.fastlane import FastLane, Lane

OK: Final = 200


class CodedLane(Lane, kw_only=True):
    """A lane that codes its answer as its client prefers."""

    coding: Coding | None = None
    agreed: str | None = None

    def start(self) -> None:
        coding = self.coding = self.protocol.coding()  # type: ignore[attr-defined]
        if coding is not None and not self.size:
            self.agreed = coding.agreed(self.headers, self.body)
        super().start()

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        if self.coding is not None and status == OK and body:
            body, headers = await self.coding.coded(self.agreed, body, headers)
        await super().respond(status, body, headers)


class CodedFastLane(FastLane):
    """A connection of coded lanes. `coding` says what holds now."""

    lane = CodedLane

    def __init__(
        self, lanes: Mapping[bytes, Endpoint], max_body: int, coding: Callable[[], Coding | None], **uvicorn: Any
    ) -> None:
        super().__init__(lanes, max_body, **uvicorn)
        self.coding = coding


class CodedApp:
    """The ASGI app with answers to POSTs that are coded where they are one JSON text."""

    def __init__(self, app: App, coding: Callable[[], Coding | None], max_body: int) -> None:
        self._app = app
        self.close = app.close
        self._coding = coding
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        coding = self._coding()
        if coding is not None and scope["type"] == "http" and scope["method"] == "POST":
            exchange = _Exchange(coding, scope, receive, send, self._max_body)
            receive, send = exchange.receive, exchange.send
        await self._app(scope, receive, send)


class _Exchange:
    """What goes in and out in one exchange."""

    def __init__(self, coding: Coding, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self._coding = coding
        self._scope = scope
        self._receive = receive
        self._send = send
        self._left = max_body
        self._body = bytearray()
        self._head: Message | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        piece = message.get("body", b"")
        # Of a body that is too large nobody will ask what it was.
        self._left -= len(piece)
        if self._left >= 0:
            self._body += piece
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == OK and JSON in message["headers"]:
            self._head = message
            return
        if self._head is not None:
            head, self._head = self._head, None
            headers = [pair for pair in head["headers"] if pair[0] != b"content-length"]
            agreed = self._coding.agreed(self._scope["headers"], self._body)
            body, coded = await self._coding.coded(agreed, message["body"], headers)
            await self._send({**head, "headers": [*coded, (b"content-length", b"%d" % len(body))]})
            message = {**message, "body": body}
        await self._send(message)
