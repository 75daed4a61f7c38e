"""Calls over Streamable HTTP: a POST each, answered with JSON or an event stream; and the stream of old servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from rune.client.calls import PROOFS, TAKEN, Auth, Call, Inbox, Lost, Refused, Wire, read_error, under
from rune.client.duplex import Duplex
from rune.client.legacy.sse import EventStream
from rune.errors import NeedsAuth, ProtocolError, RuneError, TimedOut, Unavailable
from rune.net import Cut, Fixed, Limits, Outlet, Policy, Prepared, Response, anywhere
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.wires.allowance import UNASKED, Allowance
from rune.wires.sse import Event, Parser

log = logging.getLogger("rune.client")

CALL: Final = "tools/call"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
POST_TIMEOUT: Final = 5.0
ERROR_BODY: Final = 256 * 1024
MAX_KEPT: Final = 256
MAX_RETRY: Final = 30.0
MAX_BREATH: Final = 1.0


def endpoint(
    name: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    policy: Policy = anywhere,
    auth: Auth | None = None,
) -> Callable[[], Wire]:
    """How to reach a server at a URL: each call gives a wire with connections of its own, none open yet."""
    return lambda: Http(url, Outlet(name, headers=headers, limits=limits, policy=policy), auth)


class Http:
    """A Wire to one URL. `headers` go out with every request; whoever knows the era sets them."""

    http = True
    lost: str | None = None
    last_words: list[str] = []

    def __init__(self, url: str, outlet: Outlet, auth: Auth | None = None) -> None:
        self.name = outlet.name
        self.url = url
        self.headers: dict[str, str] = {}
        self._outlet = outlet
        self._auth = auth
        self._unasked = Allowance(*UNASKED)
        self._inbox: Inbox = lambda envelope, call: None
        self._posts: set[asyncio.Task[None]] = set()
        self._on_lost: Callable[[], None] = lambda: None
        self._prepared: tuple[dict[str, str], Prepared] | None = None
        self._fixed: dict[tuple[str, str | None], tuple[Mapping[str, str], Fixed]] = {}

    async def open(self, inbox: Inbox, on_lost: Callable[[], None]) -> None:
        self._inbox, self._on_lost = inbox, on_lost

    async def close(self) -> None:
        if self._posts:
            await asyncio.wait(self._posts, timeout=POST_TIMEOUT)
        for task in self._posts:
            task.cancel()
        self.lost = "was closed"
        await self._outlet.close()

    def older(self) -> Wire:
        """Servers of 2024-11-05 refuse a POST here, and have an event stream instead."""
        limit = self._outlet.limits.event
        return Duplex(EventStream(self.name, self.url, self._request, self._outlet.close, limit))

    async def exchange(self, call: Call) -> Envelope:
        try:
            return await self._exchange(call)
        except TimeoutError:
            raise TimedOut(f"{self.name}: no answer to {call.method} in time") from None
        except Cut as cut:
            raise Lost(str(cut)) from None

    def _send(
        self,
        prepared: Prepared,
        headers: Mapping[str, str],
        data: bytes | None = None,
        deadline: float | None = None,
        repeatable: bool = False,
    ) -> Coroutine[Any, Any, Response]:
        """One exchange, with what proves who we are."""
        if self._auth is None:
            # Handed on, not awaited: each frame on the way costs every call.
            return self._outlet.exchange(prepared, headers, data, deadline=deadline, repeatable=repeatable)
        return self._prove(self._auth, prepared, headers, data, deadline, repeatable)

    async def _prove(
        self,
        auth: Auth,
        prepared: Prepared,
        headers: Mapping[str, str],
        data: bytes | None,
        deadline: float | None,
        repeatable: bool,
    ) -> Response:
        """The same with a proof; refused, it is made again if there is more to prove with."""
        send = self._outlet.exchange
        for left in reversed(range(PROOFS)):
            url = str(prepared.url)
            proof = auth.now(prepared.method, url)
            if proof is None:
                async with asyncio.timeout_at(deadline):
                    proof = await auth.headers(prepared.method, url)
            sent = under(headers, proof) if proof else headers
            response = await send(prepared, sent, data, deadline=deadline, repeatable=repeatable)
            if response.status not in (401, 403) or not left:
                return response
            began = asyncio.get_running_loop().time()
            try:
                again = await auth.refused(proof, response.status, response.headers)
            except BaseException:
                response.close()
                raise
            if not again:
                return response
            response.close()
            if deadline is not None:
                # A sign-in takes its own time, which is bounded; a deadline is for the answer of the server.
                deadline += asyncio.get_running_loop().time() - began
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def _request(
        self, method: str, headers: Mapping[str, str], data: bytes | None = None, url: str | None = None
    ) -> AsyncIterator[Response]:
        """One exchange beside the calls, for one block."""
        response = await self._send(self._outlet.prepare(method, url or self.url, headers), {}, data)
        try:
            yield response
        finally:
            response.close()

    async def _exchange(self, call: Call) -> Envelope:
        prepared, headers = self._post(), self._kept(call)
        response = await self._send(prepared, headers, call.frame, call.deadline, call.method != CALL)
        try:
            call.answered = response
            if response.status != 200:
                raise await self._refusal(response)
            if not response.streams:
                if self._taken_out(response, call):
                    return TAKEN
                return self._answer(response.whole() or await self._outlet.body(response), call)
            resume = Resume()
            envelope = await self._events(response, call, resume)
        finally:
            response.close()
        if envelope is None:
            # The server has let its client go for now: so may we.
            call.release()
        while envelope is None:
            async with asyncio.timeout_at(call.deadline):
                envelope = await self._resume(call, resume)
        return envelope

    def _post(self) -> Prepared:
        """What all POSTs of calls have in common; it changes with what the era wants to be said in headers."""
        if self._prepared is None or self._prepared[0] != self.headers:
            headers = {"Content-Type": JSON, "Accept": f"{JSON}, {EVENTS}", **self.headers}
            self._prepared = dict(self.headers), self._outlet.prepare("POST", self.url, headers)
        return self._prepared[1]

    def _kept(self, call: Call) -> Mapping[str, str]:
        """The headers of a call; those of many calls are one object, and are encoded once."""
        key = call.method, call.key
        known = self._fixed.get(key)
        if known is None or known[0] is not call.headers:
            if len(self._fixed) >= MAX_KEPT:
                self._fixed.clear()
            known = self._fixed[key] = call.headers, Fixed(call.headers)
        return known[1]

    def _taken_out(self, response: Response, call: Call) -> bool:
        """Whether the body is the usual frame around a result, as most servers write it: then it needs no opening. What
        is between frame and frame is read to its end once, so that the whole is known to be JSON."""
        result = response.between(b'{"jsonrpc":"2.0","id":%d,"result":' % call.id, b"}")
        if result is None:
            result = response.between(b'{"result":', b',"jsonrpc":"2.0","id":%d}' % call.id)
        if result is None:
            return False
        try:
            call.top = jsonrpc.read_top(result)
        except jsonrpc.Malformed:
            return False
        call.result = result
        return True

    def _answer(self, body: bytes, call: Call) -> Envelope:
        """The response in a JSON body; a server of the batching revision may have put it into an array."""
        try:
            batch = None if body[:1] == b"{" else jsonrpc.read_batch(body)
            for member in (body,) if batch is None else batch:
                envelope = self._sort(jsonrpc.read(member), call)
                if envelope is not None:
                    return envelope
        except jsonrpc.Malformed as error:
            raise Lost(f"{self.name}: answered {call.method} with something that is no JSON-RPC: {error}") from None
        raise Lost(f"{self.name}: answered something else than {call.method}")

    def _sort(self, envelope: Envelope, call: Call | None) -> Envelope | None:
        """The response if it is one to this call; everything else goes to the inbox."""
        if isinstance(envelope.method, str):
            self._inbox(envelope, call)
            return None
        if call is None:
            return None
        # An error before the request was understood has no id, and a POST has only one request.
        return envelope if envelope.id == call.id or (envelope.id is None and envelope.error) else None

    async def _events(self, response: Response, call: Call | None, resume: Resume) -> Envelope | None:
        """Read a stream until the response comes; None when it ends before."""
        parser, held = Parser(max_event=self._outlet.limits.event), 0
        try:
            while data := await response.some():
                events = parser.feed(data)
                self._outlet.room.change(held, parser.held)
                held = parser.held
                resume.note(parser)
                for event in events:
                    envelope = self._event(event, call)
                    if envelope is not None:
                        return envelope
                if events:
                    deadline = None if call is None else call.deadline
                    await self._breathe(sum(1 + len(event.data) / 1024 for event in events), deadline)
        except Cut:
            # Whether it can go on elsewhere is decided by who reads it.
            return None
        except Unavailable as error:
            raise Lost(str(error)) from None
        except RuneError as error:
            raise Lost(f"{self.name}: {error}") from None
        finally:
            self._outlet.room.change(held, 0)
        return None

    async def _breathe(self, amount: float, deadline: float | None) -> None:
        """What one server pours out must not cost the others, nor keep its own call for ever."""
        now = asyncio.get_running_loop().time()
        wait = min(self._unasked.spend(amount, now), MAX_BREATH)
        if deadline is not None and now + wait > deadline:
            wait = max(deadline - now, 0)
            if not wait:
                raise TimeoutError
        if wait:
            await asyncio.sleep(wait)

    def _event(self, event: Event, call: Call | None) -> Envelope | None:
        if event.event != "message" or not event.data:
            return None
        try:
            return self._sort(jsonrpc.read(event.data), call)
        except jsonrpc.Malformed as error:
            log.warning("%s: an event that is no JSON-RPC: %s", self.name, error)
            return None

    async def _resume(self, call: Call, resume: Resume) -> Envelope | None:
        """Old servers may end the stream of a call early and go on with it on a GET (polling)."""
        if not resume.possible:
            raise Lost(f"{self.name}: the answer to {call.method} ended before its result")
        await asyncio.sleep(resume.wait)
        last = resume.last
        async with self._request("GET", self._get_headers(resume)) as response:
            if response.status != 200 or response.content_type != EVENTS:
                raise Lost(f"{self.name}: the answer to {call.method} was cut off and cannot be resumed")
            envelope = await self._events(response, call, resume)
        if envelope is None:
            resume.count(moved=last != resume.last)
        return envelope

    def _get_headers(self, resume: Resume) -> dict[str, str]:
        last = {"Last-Event-ID": resume.last} if resume.last else {}
        return {"Accept": EVENTS, **self.headers, **last}

    async def listen(self, opened: Callable[[], object]) -> None:
        """The GET stream of an old server, opened again when it ends."""
        resume = Resume()
        while self.lost is None:
            moved = resume.last
            try:
                async with self._request("GET", self._get_headers(resume)) as response:
                    if response.status != 200:
                        raise await self._refusal(response)
                    opened()
                    await self._events(response, None, resume)
            except RuneError as error:
                log.debug("%s", error)
                opened()
                if isinstance(error, NeedsAuth) or (isinstance(error, Refused) and error.status in (400, 404, 405)):
                    return
            resume.count(moved=moved != resume.last)
            await asyncio.sleep(resume.wait)

    def post(self, frame: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._aside("POST", dict(self.headers), frame))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def tell(self, frame: bytes) -> None:
        await self._aside("POST", self.headers, frame)

    async def leave(self) -> None:
        """Old servers keep something for each client until it says that it goes (DELETE)."""
        await self._aside("DELETE", self.headers)

    async def _aside(self, method: str, headers: Mapping[str, str], frame: bytes | None = None) -> None:
        headers = {"Accept": f"{JSON}, {EVENTS}", **headers} | ({} if frame is None else {"Content-Type": JSON})
        try:
            async with (
                asyncio.timeout(POST_TIMEOUT),
                self._request(method, headers, frame) as response,
            ):
                await self._outlet.body(response, ERROR_BODY)
        except (TimeoutError, Unavailable, TimedOut, NeedsAuth) as error:
            log.debug("%s: a %s was not delivered: %s", self.name, method, error)

    async def _refusal(self, response: Response) -> Refused | NeedsAuth:
        body = await self._outlet.body(response, ERROR_BODY)
        status = response.status
        if status == 401 or (status == 403 and "insufficient_scope" in response.headers.get("WWW-Authenticate", "")):
            hint = "the one that it got was refused" if self._auth is not None else "check the token in its headers"
            return NeedsAuth(f"{self.name}: wants a sign-in first ({status})", hint=hint)
        text = "" if response.content_type != "text/plain" else f": {body[:120].decode(errors='replace').strip()}"
        return Refused(f"{self.name}: answered with status {status}{text}", status, _error(body), response.headers)


class Resume:
    """Where a broken stream goes on: the last event id, and how long to wait."""

    def __init__(self) -> None:
        self.last = ""
        self.wait = 1.0
        self._failures = 0

    def note(self, parser: Parser) -> None:
        """Remember what a stream has said about resuming."""
        if parser.last_id:
            self.last = parser.last_id
        if parser.retry is not None:
            self.wait = min(parser.retry / 1000, MAX_RETRY)

    def count(self, *, moved: bool) -> None:
        """After an attempt: streams that bring nothing are asked for less and less often."""
        self._failures = 0 if moved else self._failures + 1
        if self._failures:
            self.wait = min(max(self.wait, 0.5) * 2, MAX_RETRY)

    @property
    def possible(self) -> bool:
        """Whether the stream named a place to resume from."""
        return bool(self.last)


def _error(body: bytes) -> ProtocolError | None:
    """The JSON-RPC error in the body of a refusal, None when there is none. Its id may be missing."""
    try:
        error = jsonrpc.read_object(body).get("error")
    except jsonrpc.Malformed:
        return None
    return None if error is None else read_error(error)
