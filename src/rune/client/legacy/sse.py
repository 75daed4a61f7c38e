"""The transport of 2024-11-05 towards an old server: one event stream for its way, a POST for each message of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

from yarl import URL

from rune.client.calls import Refused
from rune.client.duplex import Queued
from rune.errors import INTERNAL_ERROR, RuneError, Unavailable
from rune.net import Cut, Response
from rune.protocol import jsonrpc
from rune.wires.sse import Parser

log = logging.getLogger("rune.client")

EVENTS: Final = "text/event-stream"
FIRST_EVENT: Final = 10.0
"""Seconds until the stream must have named the place to send to."""
POST_TIMEOUT: Final = 30.0
MAX_ENDPOINT: Final = 8192


Close: TypeAlias = Callable[[], Awaitable[None]]


class Requests(Protocol):
    """Makes one HTTP exchange, with all that proves who we are."""

    def __call__(
        self, method: str, headers: Mapping[str, str], data: bytes | None = None, url: str | None = None
    ) -> AbstractAsyncContextManager[Response]: ...


class EventStream(Queued):
    """A carrier: a task reads the stream, another sends what is queued, one message after the other."""

    def __init__(self, name: str, url: str, request: Requests, close: Close, max_event: int) -> None:
        super().__init__(name)
        self._url = url
        self._request = request
        self._close = close
        self._max_event = max_event
        self._on_line: Callable[[bytes], None] = lambda line: None

    async def open(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        """Wait until the server has said where it wants to be told something.

        Raises:
            Refused: there is no event stream. Unavailable: it says something else.
        """
        self._on_end = on_end
        loop = asyncio.get_running_loop()
        endpoint: asyncio.Future[str] = loop.create_future()
        reader = loop.create_task(self._read(on_line, endpoint))
        self._tasks = [reader]
        try:
            await asyncio.wait((reader, endpoint), timeout=FIRST_EVENT, return_when=asyncio.FIRST_COMPLETED)
            if not endpoint.done():
                endpoint.cancel()
                if reader.done():
                    reader.result()
                raise Unavailable(f"{self.name}: its event stream names no endpoint")
            target = self._target(endpoint.result())
        except BaseException:
            reader.cancel()
            raise
        self._tasks.append(loop.create_task(self._write(target)))

    def _target(self, text: str) -> str:
        """Where to send: somewhere else than the stream came from would be a way to send our messages to others."""
        base = URL(self._url)
        try:
            target = base.join(URL(text))
        except ValueError:
            target = URL()
        if not target.is_absolute() or target.origin() != base.origin() or len(text) > MAX_ENDPOINT:
            raise Unavailable(f"{self.name}: its event stream names an endpoint elsewhere: {text[:200]!r}")
        return str(target)

    async def _read(self, on_line: Callable[[bytes], None], endpoint: asyncio.Future[str]) -> None:
        self._on_line = on_line
        try:
            async with self._request("GET", {"Accept": EVENTS}) as response:
                if response.status != 200 or response.content_type != EVENTS:
                    text = f"{self.name}: no event stream there (status {response.status})"
                    raise Refused(text, response.status, None, response.headers)
                await self._events(response, endpoint)
            self._end("its event stream was closed")
        except Cut:
            self._end("its event stream was cut")
        except RuneError as error:
            if not endpoint.done():
                raise
            self._end(error.message.removeprefix(f"{self.name}: "))

    async def _events(self, response: Response, endpoint: asyncio.Future[str]) -> None:
        parser = Parser(max_event=self._max_event)
        while part := await response.some():
            for event in parser.feed(part):
                if event.event == "message":
                    self._on_line(event.data)
                elif event.event == "endpoint" and not endpoint.done():
                    endpoint.set_result(event.data.decode("utf-8", "replace"))
            await self._pause()

    async def _write(self, target: str) -> None:
        while True:
            line = await self._queue.get()
            try:
                async with asyncio.timeout(POST_TIMEOUT):
                    await self._post(target, line)
            except TimeoutError:
                self._end(f"did not take a message within {POST_TIMEOUT:g} s")
            except RuneError as error:
                self._end(error.message.removeprefix(f"{self.name}: "))
            self._sent(line)

    async def _post(self, target: str, line: bytes) -> None:
        async with self._request("POST", {"Content-Type": "application/json"}, line, target) as response:
            status = response.status
        if status in (404, 410):
            self._end(f"has forgotten this session (status {status})")
        elif status >= 300:
            self._refused(line, status)

    def _refused(self, line: bytes, status: int) -> None:
        """One message that it does not want is no end of the others: its sender must not wait for an answer."""
        log.info("%s: a message was refused with status %d", self.name, status)
        envelope = jsonrpc.read(line)
        if envelope.is_request and isinstance(envelope.id, int):
            text = f"{self.name}: refused the message with status {status}"
            self._on_line(jsonrpc.error_frame(envelope.id, INTERNAL_ERROR, text))

    async def close(self) -> None:
        await self._stop("was closed")
        await self._close()
