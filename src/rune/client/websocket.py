"""A WebSocket as a carrier: one JSON-RPC message per text frame, subprotocol `mcp`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from rune.client.calls import PROOFS, Auth, Wire
from rune.client.duplex import Duplex, Queued
from rune.errors import NeedsAuth, Unavailable
from rune.net import Limits, Policy, anywhere
from rune.net.websocket import WebSockets

CLOSE_TIMEOUT: Final = 2.0


def websocket(
    name: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    policy: Policy = anywhere,
    auth: Auth | None = None,
) -> Callable[[], Wire]:
    """How to reach a server at a ws:// or wss:// URL: each call gives a new connection, not yet open."""
    return lambda: Duplex(Socket(url, WebSockets(name, headers=headers, limits=limits, policy=policy), auth))


class Socket(Queued):
    """One WebSocket: a task writes what is queued, another reads."""

    def __init__(self, url: str, outlet: WebSockets, auth: Auth | None = None) -> None:
        super().__init__(outlet.name)
        self._url = url
        self._outlet = outlet
        self._auth = auth
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        self._on_end = on_end
        self._socket = await self._connect()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._read(self._socket, on_line)),
            loop.create_task(self._write(self._socket)),
        ]

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        """The upgrade, with what proves who we are; refused, it is made again if there is more to prove with."""
        for left in reversed(range(PROOFS)):
            proof = {} if self._auth is None else await self._auth.headers("GET", self._url)
            try:
                return await self._outlet.connect(self._url, protocols=("mcp",), headers=proof)
            except Unavailable as error:
                refusal = error.__cause__
                if not isinstance(refusal, aiohttp.WSServerHandshakeError) or refusal.status not in (401, 403):
                    raise
                told: Mapping[str, str] = refusal.headers or {}
                if left and self._auth is not None and await self._auth.refused(proof, refusal.status, told):
                    continue
                if refusal.status == 403:
                    raise
                raise NeedsAuth(
                    f"{self.name}: wants a sign-in first (401)", hint="check the token in its headers"
                ) from None
        raise AssertionError("the last try returns or raises")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, on_line: Callable[[bytes], None]) -> None:
        async for message in socket:
            await self._pause()
            if message.type is aiohttp.WSMsgType.TEXT:
                on_line(message.data.encode())
            elif message.type is aiohttp.WSMsgType.BINARY:
                on_line(message.data)
        self._end(f"the WebSocket was closed ({socket.close_code})")

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            with self._outlet.faults():
                while True:
                    line = await self._queue.get()
                    await socket.send_str(line.decode())
                    self._sent(line)
        except Unavailable:
            self._end("the WebSocket was lost")

    async def close(self) -> None:
        if self._socket is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._socket.close()
            except TimeoutError:
                self._end("the WebSocket was closed")
        await self._stop("the WebSocket was closed")
        await self._outlet.close()
