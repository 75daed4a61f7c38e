"""The raw client on Streamable HTTP, modern and legacy, on aiohttp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from tests.wire.client import NAMED, WAIT, Client, Exchange
from tests.wire.duplex import read_events
from tests.wire.schemas import check_frame


class HttpClient(Client):
    """One client; in a legacy revision, one session."""

    wire = "http"

    def __init__(
        self, url: str, revision: str, capabilities: Mapping[str, Any] | None = None, accept: str | None = None
    ) -> None:
        super().__init__(revision, capabilities)
        self.url = url
        self.accept = accept or "application/json, text/event-stream"
        self.http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None)
        )  # streams stand for as long as the tests take
        self.session: str | None = None
        self.resumed: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()
        self._standing: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._exchanges: list[Exchange] = []

    def headers(self, message: Mapping[str, Any] | None = None, **more: str | None) -> dict[str, str]:
        """The headers of a POST. Keywords are those of `more` headers; None leaves one out."""
        found: dict[str, str | None] = {"content-type": "application/json", "accept": self.accept}
        if self.modern and message is not None:
            found["MCP-Protocol-Version"] = self.revision
            found["Mcp-Method"] = message["method"]
            name = message.get("params", {}).get(NAMED.get(message["method"], ""))
            if isinstance(name, str):
                found["Mcp-Name"] = name
        elif self.session is not None:
            found["Mcp-Session-Id"] = self.session
            if self.revision >= "2025-06-18":
                found["MCP-Protocol-Version"] = self.revision
        found.update(more)
        return {key: value for key, value in found.items() if value is not None}

    async def _send(self, exchange: Exchange, message: dict[str, Any], headers: Mapping[str, str | None]) -> None:
        sent = asyncio.Event()
        exchange.work = asyncio.create_task(self._exchange(exchange, message, headers, sent))
        self._exchanges.append(exchange)

    async def _exchange(
        self, exchange: Exchange, message: dict[str, Any], headers: Mapping[str, str | None], sent: asyncio.Event
    ) -> None:
        full = self.headers(message, **headers)
        try:
            async with self.http.post(self.url, data=json.dumps(message), headers=full) as response:
                exchange.status = response.status
                exchange.headers = response.headers
                if response.content_type == "text/event-stream":
                    await self._stream(exchange, response)
                elif response.content_type == "application/json" and response.status != 202:
                    exchange.take(json.loads(await response.read()))
                if message["method"] == "initialize" and exchange.status == 200:
                    self.session = response.headers.get("Mcp-Session-Id")
        finally:
            exchange.end()

    async def _stream(self, exchange: Exchange, response: aiohttp.ClientResponse) -> None:
        assert response.headers["X-Accel-Buffering"] == "no"
        async for event, id, data in read_events(response):
            assert event == "message"
            exchange.events.append((id, data))
            if data:
                exchange.take(json.loads(data))

    async def cut(self, exchange: Exchange) -> None:
        """Modern: close the stream. Legacy: say so; a closed stream means nothing there."""
        if self.modern:
            await self.drop(exchange)
        else:
            await super().cut(exchange)

    async def drop(self, exchange: Exchange) -> None:
        """Close the connection of a request that runs."""
        assert exchange.work is not None
        exchange.work.cancel()
        await asyncio.wait([exchange.work], timeout=WAIT)

    async def tell(self, message: dict[str, Any]) -> None:
        async with self.http.post(self.url, data=json.dumps(message), headers=self.headers(message)) as response:
            assert response.status == 202, (response.status, await response.text())
            assert await response.read() == b""

    async def post(self, body: bytes, **headers: str | None) -> tuple[int, Any, Mapping[str, str]]:
        """Any bytes; status, decoded body and headers."""
        async with self.http.post(self.url, data=body, headers=self.headers(**headers)) as response:
            data = await response.read()
            if response.content_type == "text/event-stream":
                return response.status, data, response.headers
            return response.status, json.loads(data) if data else None, response.headers

    async def hear(self) -> None:
        """Legacy: open the GET stream and wait until it stands."""
        if self.modern or self._standing is not None:
            return
        self._standing = asyncio.create_task(self._get())
        async with asyncio.timeout(WAIT):
            await self._opened.wait()

    async def _get(self) -> None:
        headers = self.headers(accept="text/event-stream")
        del headers["content-type"]
        async with self.http.get(self.url, headers=headers) as response:
            assert response.status == 200, response.status
            assert response.content_type == "text/event-stream"
            self._opened.set()
            async for _, _, data in read_events(response):
                if data:
                    frame = json.loads(data)
                    check_frame(self.revision, frame)
                    self.inbox.put_nowait(frame)

    async def resume(self, last: str) -> list[tuple[str | None, str]]:
        """All events of a stream after one, until the server closes it."""
        headers = self.headers(accept="text/event-stream") | {"Last-Event-ID": last}
        async with asyncio.timeout(WAIT), self.http.get(self.url, headers=headers) as response:
            assert response.status == 200, response.status
            return [(id, data) async for _, id, data in read_events(response)]

    async def delete(self) -> int:
        """End the session; the status."""
        async with self.http.delete(self.url, headers=self.headers()) as response:
            return response.status

    async def close(self) -> None:
        tasks = [exchange.work for exchange in self._exchanges if exchange.work is not None]
        tasks += [self._standing] if self._standing is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=WAIT)
        await self.http.close()
        for task in tasks:
            # A broken frame must fail its test, whoever read it.
            if not task.cancelled():
                task.result()
