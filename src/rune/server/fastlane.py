"""The fast lane: POSTs to the endpoint inside uvicorn's HTTP/1.1 protocol, without the detour over ASGI.

The same `Endpoint` answers; only the carrier differs. Whatever is no plain POST to the endpoint goes the ordinary way.
For uvicorn a `Lane` is a request cycle: keep-alive, pipelining and shutdown stay uvicorn's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from time import monotonic
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rune.aio import spawn
from rune.errors import INVALID_REQUEST
from rune.protocol.jsonrpc import error_frame
from rune.server.endpoint import Endpoint, once
from rune.server.exchange import BODY_TIMEOUT, DISCARD, DISCARD_TIMEOUT, JSON, Headers, Out, too_large

log = logging.getLogger("rune.server")

TOGETHER: Final = 64 * 1024
"""A body of more bytes is not copied to stand behind its head."""
_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Lane(Out, kw_only=True):
    """One POST: a cycle for uvicorn, which fills `body` and calls `set`, and an Out for the endpoint."""

    protocol: FastLane
    endpoint: Endpoint
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    body: bytearray = msgspec.field(default_factory=bytearray)
    size: int = 0
    more_body: bool = True
    queued: bool = False
    started: bool = False
    begun: bool = False
    disconnected: bool = False
    response_complete: bool = False
    _gone: asyncio.Future[None] | None = None
    _since: float = msgspec.field(default_factory=monotonic)
    _timer: asyncio.TimerHandle | None = None

    # --- what uvicorn wants of a cycle ---

    @property
    def message_event(self) -> Lane:
        """uvicorn sets it when something has happened."""
        return self

    def set(self) -> None:
        """A piece of the body is here, the body is complete, or the client is gone."""
        if self.disconnected:
            if self._gone is not None and not self._gone.done():
                self._gone.set_result(None)
            self.lost()
        elif self.started:
            return
        elif self.more_body:
            self._more()
        elif not self.queued:
            self.start()

    def _more(self) -> None:
        if self.size or len(self.body) > self.protocol.max_body:
            self.size += len(self.body)
            self.body.clear()
            if self.size > DISCARD:
                self.start()

    def waiting(self) -> None:
        """The body is not here yet. One that is, or says that it is, too large is read on for a moment and then
        answered: a client that is still writing would otherwise see a broken connection instead of the answer."""
        protocol = self.protocol
        if not self.size:
            length = dict(self.headers).get(b"content-length", b"0")
            self.size = int(not length.isdigit() or int(length) > protocol.max_body)
        if self.size and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DISCARD_TIMEOUT, self._enough)
        protocol.flow.resume_reading()

    def _enough(self) -> None:
        if not self.started and not self.queued and not self.disconnected:
            self.start()

    async def run_asgi(self, app: Any) -> None:
        """Its turn has come, after the requests that were sent before it on the same connection."""
        self.queued = False
        if not self.more_body:
            self.start()

    def start(self) -> None:
        """Answer."""
        self.started = True
        self.protocol.running = self
        if self._timer is not None:
            self._timer.cancel()
        task = spawn(self._answer())
        if not task.done():
            self.suspended(task)
            tasks = self.protocol.tasks
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _answer(self) -> None:
        protocol = self.protocol
        headers = once(self.headers)
        try:
            if headers is None:
                await self._refuse(400, "a header that must be unique is there twice")
            elif self.size or len(self.body) > protocol.max_body:
                await self._refuse(413, too_large(protocol.max_body))
            else:
                # Some exchanges last for hours: what has been handed on is not kept here as well.
                body, self.body, self.headers = bytes(self.body), bytearray(), []
                job = self.endpoint.post(headers, body, self)
                del headers, body
                await job
        except Exception:
            log.exception("a POST failed")
            if not self.begun:
                await self._refuse(500, "internal error")
        finally:
            if not (self.response_complete or self.disconnected):
                # Given up: what was begun can only be cut.
                protocol.transport.abort()

    async def _refuse(self, status: int, text: str) -> None:
        self.keep_alive = False
        await self.respond(status, error_frame(None, INVALID_REQUEST, text))

    def sweep(self, now: float) -> None:
        """Answer now when the body takes too long."""
        if not self.started and now > self._since + BODY_TIMEOUT:
            self.started = True
            spawn(self._refuse(408, f"the body: not done within {BODY_TIMEOUT:g} s"))

    # --- what the endpoint wants of an Out ---

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        if self.disconnected:
            return
        head = self.protocol.head(status) if headers == _ONLY_JSON and self.keep_alive else self._head(status, headers)
        head = b"%bcontent-length: %d\r\n\r\n" % (head, len(body))
        if len(body) > TOGETHER:
            self.protocol.transport.writelines((head, body))
        else:
            self.protocol.transport.write(head + body)
        self._complete()

    async def begin(self, status: int, headers: Headers) -> None:
        self.begun = True
        if not self.disconnected:
            self.protocol.transport.write(self._head(status, headers) + b"transfer-encoding: chunked\r\n\r\n")

    async def write(self, data: bytes) -> None:
        flow = self.protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if not self.disconnected:
            self.protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        if not self.disconnected:
            self.protocol.transport.write(b"0\r\n\r\n")
            self._complete()

    async def gone(self) -> None:
        if not (self.disconnected or self.response_complete):
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone

    def _head(self, status: int, headers: Headers) -> bytes:
        lines = [_STATUS[status]]
        lines += [b"%b: %b\r\n" % pair for pair in (*self.protocol.server_state.default_headers, *headers)]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        return b"".join(lines)

    def _complete(self) -> None:
        self.response_complete = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self.protocol.lane_complete(self.keep_alive)


_ONLY_JSON: Final = (JSON,)


class FastLane(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with the lane. Timeouts are kept by a sweep over all connections instead of timers."""

    # With more than its own 28 attributes the dict of each connection would share its keys with none.
    __slots__ = ("_begun", "_heads", "_idle", "lanes", "max_body", "running")

    lane: type[Lane] = Lane

    def __init__(self, lanes: Mapping[bytes, Endpoint], max_body: int, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.lanes = lanes
        self.max_body = max_body
        self._begun: float | None = None
        self._idle = monotonic()
        self.running: Lane | None = None
        self._heads: tuple[Any, bytes] = (None, b"")

    def head(self, status: int) -> bytes:
        """The head of a JSON answer on a connection that stays open; that of a 200 is kept until the date changes."""
        date = self.server_state.default_headers
        if status == 200 and self._heads[0] is date:
            return self._heads[1]
        lines = [_STATUS[status], *(b"%b: %b\r\n" % pair for pair in (*date, JSON))]
        head = b"".join(lines)
        if status == 200:
            self._heads = date, head
        return head

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: Any = self.cycle
        if type(cycle) is self.lane and not cycle.started:
            cycle.waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn tells the newest cycle alone; with pipelining it is an older one that runs.
        running, self.running = self.running, None
        if running is not None and not running.disconnected:
            running.disconnected = True
            running.set()
        self.pipeline.clear()
        # A lane knows its protocol: without this only the collector could free the two.
        self.cycle = None  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._begun = monotonic()

    def on_headers_complete(self) -> None:
        self._begun = None
        endpoint = self.lanes.get(self.url)
        if endpoint is not None and self._plain_post():
            previous = self.cycle
            keep = self.parser.should_keep_alive()
            lane = self.lane(protocol=self, endpoint=endpoint, headers=self.headers, keep_alive=keep)
            self.cycle = lane  # type: ignore[assignment]
            if previous is not None and not previous.response_complete:
                lane.queued = True
                self.flow.pause_reading()
                self.pipeline.appendleft((lane, self.app))  # type: ignore[arg-type]
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _plain_post(self) -> bool:
        parser = self.parser
        return (
            parser.get_method() == b"POST"
            and not self.expect_100_continue
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
        )

    def lane_complete(self, keep_alive: bool) -> None:
        """A lane has answered: the next request of the connection may come."""
        self.server_state.total_requests += 1
        self.running = None
        if not keep_alive:
            self.transport.close()
        elif self.pipeline:
            cycle, app = self.pipeline.pop()
            self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
        else:
            self.flow.resume_reading()
            self._idle = monotonic()

    def shutdown(self) -> None:
        """The server stops: a request that has not arrived is not waited for."""
        if isinstance(self.cycle, Lane) and not self.cycle.started:
            self.transport.close()
        else:
            super().shutdown()

    def sweep(self, now: float) -> None:
        """Close the connection when it is idle for too long, or its head or body takes too long."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._begun is not None:
            if now > self._begun + BODY_TIMEOUT:
                self.send_400_response("The request took too long.")
        elif isinstance(self.cycle, Lane) and not self.cycle.response_complete:
            self.cycle.sweep(now)
        elif (self.cycle is None or isinstance(self.cycle, Lane)) and now > self._idle + self.timeout_keep_alive:
            self.transport.close()
