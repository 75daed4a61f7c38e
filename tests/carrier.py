"""One ASGI exchange without a server: what an app receives and sends, message by message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

WAIT = 5.0
HEADERS = {"host": "localhost", "content-type": "application/json"}


class Carrier:
    """Runs an app for one request; its body, or the parts of it, come when they are given."""

    def __init__(self, app: Any, method: str = "POST", path: str = "/mcp", headers: Mapping[str, str] | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.receives = 0
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._some = asyncio.Event()
        lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in (HEADERS | dict(headers or {})).items()]
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": lines}
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        self.receives += 1
        return await self._coming.get()

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._some.set()

    def body(self, data: bytes = b"", *, more: bool = False) -> None:
        """A piece of the body."""
        self._coming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        """The client closes the connection."""
        self._coming.put_nowait({"type": "http.disconnect"})

    async def until(self, wanted: bytes) -> None:
        """Wait until this has been sent."""
        async with asyncio.timeout(WAIT):
            while wanted not in self.content:
                self._some.clear()
                await self._some.wait()

    async def done(self) -> Carrier:
        """Wait for the app to be through with it."""
        async with asyncio.timeout(WAIT):
            await self.task
        return self

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def answer(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)


@asynccontextmanager
async def closing(app: Any) -> Any:
    """An app that is closed at the end."""
    try:
        yield app
    finally:
        async with asyncio.timeout(WAIT):
            await app.close(0.1)
