"""One MCP server as a Handler: finds out which era it speaks, then every modern Request can be sent to it.

`sources/upstream/` and `connect.py` build on this; the older revisions are in `legacy/`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

import msgspec

from rune.client.calls import Call, Calls, Lost, Refused, Wire
from rune.client.legacy.session import Legacy
from rune.client.legacy.tasks import StartTask
from rune.client.modern import Modern
from rune.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    NotFound,
    ProtocolError,
    RuneError,
    TimedOut,
    Unavailable,
)
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.protocol.methods import LEGACY, MODERN
from rune.protocol.modern import Meta
from rune.request import Note, Request, Result

log = logging.getLogger("rune.client")

PROBE_TIMEOUT: Final = 5.0
HTTP_PROBE_TIMEOUT: Final = 20.0
"""On HTTP silence says nothing about the era: old servers answer what they do not know."""

Era: TypeAlias = Modern | Legacy


class Connection:
    """One MCP server, from the first probe to the end. `capabilities` is what a legacy server is told of its client;
    a modern one is told with each request what that caller can do.

    `on_note` hears what the server says outside of any request, `on_lost` once that the connection is gone.
    """

    def __init__(
        self,
        wire: Callable[[], Wire],
        *,
        identity: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        parking: Parking | None = None,
    ) -> None:
        self._make_wire = wire
        self._wire = wire()
        self.name = self._wire.name
        self._identity = msgspec.Raw(jsonrpc.encode(identity or {"name": "rune", "version": "0"}))
        self._capabilities = dict(capabilities or {})
        self._timeout = timeout
        self.on_note: Callable[[Note], None] = lambda note: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_free: Callable[[], None] = lambda: None
        self.roots: Sequence[str] = ()
        """Folders to name to an older server that asks outside of a call."""
        self.revision: str | None = None
        """The one revision to speak, where somebody has settled it; else it is found out."""
        self.older = False
        """Speak an older revision, though the server may know the newest."""
        self.start_task: StartTask | None = None
        """Makes a task of ours for one of a legacy server; without it no call becomes a task there."""
        self._calls = Calls(self._wire, timeout)
        self._calls.on_free = lambda: self.on_free()
        self._parking = Parking() if parking is None else parking
        self._own_parking = parking is None
        self._era: Era | None = None
        self._probing = True

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- what it is ---

    @property
    def lost(self) -> str | None:
        """Why the server is gone; None while the connection is there."""
        return self._wire.lost

    @property
    def last_words(self) -> list[str]:
        """The last lines that the server wrote to stderr."""
        return self._wire.last_words

    @property
    def era(self) -> Era:
        """The dialect it turned out to speak."""
        if self._era is None:
            raise Lost(f"{self.name}: not connected", sent=False)
        return self._era

    @property
    def legacy(self) -> bool:
        """Whether the server speaks a revision before 2026-07-28."""
        return isinstance(self._era, Legacy)

    @property
    def asking(self) -> int:
        """How many calls are in flight in which the server may ask something. Those of tasks name theirs."""
        flying = self._calls.flying.values()
        return sum(call.asking is not None and call.method != "tasks/result" for call in flying)

    @property
    def calling(self) -> bool:
        """Whether a call is in flight, or a task goes on."""
        return bool(self._calls.flying)

    @property
    def busy(self) -> bool:
        """Whether anything is in flight, or anybody listens."""
        listening = isinstance(self._era, Legacy) and len(self._era.listeners)
        return bool(self._calls.flying) or bool(listening)

    @property
    def ghosts(self) -> Collection[str]:
        """Whose calls were given up that the server may still be at."""
        return self._calls.ghosts.values()

    @property
    def http(self) -> bool:
        """Whether each call has a stream of its own."""
        return self._wire.http

    @property
    def discovered(self) -> dict[str, Any]:
        """What the server says of itself, as a DiscoverResult."""
        return self.era.discovered

    # --- life ---

    async def open(self, *, legacy: bool = False) -> None:
        """Connect and find out the era; `legacy` skips the probe for a server known to be old.

        Raises:
            Unavailable, TimedOut, NeedsAuth: when the server cannot be used; the text begins with its name.
        """
        self._probing = True
        await self._open_wire()
        if self.revision == MODERN or not (legacy or self.older or self.revision):
            self._era = await self._probe_modern()
        if self._era is None and self.revision != MODERN:
            self._era = await self._handshake()
        if self._era is None or self.revision not in (None, self._era.revision):
            known = "" if self._era is None else f" but {self._era.revision}"
            raise Unavailable(f"{self.name}: does not speak {self.revision}{known}", hint="take out `protocol`")
        self._probing = False
        if self._wire.lost is not None:
            raise Lost(f"{self.name}: {self._wire.lost}")

    async def _open_wire(self) -> None:
        await self._wire.open(self._receive, self._gone)

    async def close(self) -> None:
        """End it: a legacy session is ended properly, a child process is not left behind."""
        if isinstance(self._era, Legacy) and self._wire.lost is None:
            await self._era.end()
        if self._own_parking:
            await self._parking.close()
        await self._wire.close()

    async def _probe_modern(self) -> Modern | None:
        """2026-07-28, versioning: a modern answer or a recognised modern error; None means an older server."""
        modern = Modern(self._calls, self._identity, None)
        for _ in range(2):
            try:
                return await self._discover(modern)
            except ProtocolError as error:
                if error.code == UNSUPPORTED_VERSION and not _supports(error, MODERN):
                    if not any(_supports(error, version) for version in LEGACY):
                        raise Unavailable(f"{self.name}: {error}", hint="no revision in common") from None
                    return None
                if error.code in (HEADER_MISMATCH, MISSING_CAPABILITY):
                    return modern
                if error.code != UNSUPPORTED_VERSION:
                    return await self._without_discovery(modern, error)
            except Refused as refused:
                if refused.status >= 500 or refused.status == 429:
                    raise
                return None
            except TimedOut:
                # A busy machine answers late, an old server that does not answer at all is rare there.
                if self._wire.http:
                    continue
                return None
            except Lost:
                if self._wire.http:
                    return None
                await self._restart()
                return None
        return None

    async def _discover(self, modern: Modern) -> Modern | None:
        request = _probe("server/discover")
        patience = HTTP_PROBE_TIMEOUT if self._wire.http else PROBE_TIMEOUT
        request.deadline = asyncio.get_running_loop().time() + min(patience, self._timeout)
        value = (await modern.handle(request)).value
        versions = value.get("supportedVersions")
        if not isinstance(versions, list) or (MODERN not in versions and any(v in LEGACY for v in versions)):
            return None
        capabilities = value.get("capabilities")
        known = capabilities.items() if isinstance(capabilities, dict) else ()
        modern.discovered = {**value, "capabilities": {key: item for key, item in known if isinstance(item, dict)}}
        return modern

    async def _without_discovery(self, modern: Modern, error: ProtocolError) -> Modern | None:
        """404 with a JSON-RPC body saying -32601 is a modern server without discovery, if it can do anything else."""
        cause = error.__cause__
        if error.code != METHOD_NOT_FOUND or not isinstance(cause, Refused) or cause.status != 404:
            return None
        try:
            await modern.handle(_probe("tools/list"))
        except (ProtocolError, Unavailable, TimedOut):
            return None
        return modern

    async def _restart(self) -> None:
        """Some old servers end themselves when the first message is unknown to them: start it again for them."""
        await self._wire.close()
        self._wire = self._calls.wire = self._make_wire()
        await self._open_wire()

    async def _handshake(self) -> Era:
        session = Legacy(self._calls, self._identity, self._capabilities, self._noted, self._parking)
        session.start_task = self.start_task
        session.questions.roots = self.roots
        if self.revision is not None:
            session.revision = self.revision
        self._era = session
        try:
            try:
                await session.open()
            except Refused as refused:
                await self._fall_back(refused)
                await session.open()
        except ProtocolError as error:
            self._era = None
            if (
                self.revision is None
                and not self.older
                and error.code == UNSUPPORTED_VERSION
                and _supports(error, MODERN)
            ):
                # It took longer than the probe could wait, and then the probe had settled the era.
                modern = await self._discover(Modern(self._calls, self._identity, None))
                if modern is not None:
                    return modern
            raise Unavailable(f"{self.name}: refused the handshake: {error} ({error.code})") from None
        except Refused as refused:
            self._era = None
            if refused.status >= 500 or refused.status == 429:
                raise
            raise Unavailable(
                f"{self.name}: no MCP server at this URL (status {refused.status})",
                hint="check the path of the URL: most servers live at /mcp",
            ) from None
        return session

    async def _fall_back(self, refused: Refused) -> None:
        """A POST that is refused may have met the first transport of all: a GET tells."""
        older = self._wire.older()
        if older is None or not 400 <= refused.status < 500 or refused.status == 429:
            raise refused
        wire, self._wire = self._wire, older
        try:
            await self._open_wire()
        except RuneError as error:
            self._wire = wire
            log.debug("%s", error)
            raise refused from None
        self._calls.wire = older

    def _gone(self) -> None:
        # While it is being probed, the one who opens hears of it by an error.
        if not self._probing:
            self.on_lost()

    def _noted(self, note: Note) -> None:
        self.on_note(note)

    # --- use ---

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Send a request and return its result, byte for byte but for what the era demands.

        Raises:
            ProtocolError: what the server said; NotFound for a resource that it does not have.
            Unavailable, TimedOut, NeedsAuth: when there is no answer.
        """
        # Handed on, not awaited: each frame on the way costs every call.
        return self._read(request) if request.method == "resources/read" else self.era.handle(request)

    async def _read(self, request: Request) -> Result:
        try:
            return await self.era.handle(request)
        except ProtocolError as error:
            if error.code == INVALID_PARAMS:
                # The router asks the next source only after NotFound.
                data = error.data if error.data is not None else {"uri": request.value("uri")}
                raise NotFound(error.message, data=data) from None
            raise

    def warn_once(self, text: str) -> None:
        """Log something that is wrong with this server, the first time."""
        self._calls.warn_once(text)

    async def answers(self) -> bool:
        """Whether the server says anything at all, be it an error."""
        try:
            if self.legacy:
                await self._calls.run(self._calls.new("ping", timeout=PROBE_TIMEOUT))
            else:
                probe = _probe("server/discover")
                probe.deadline = asyncio.get_running_loop().time() + PROBE_TIMEOUT
                await self.era.handle(probe)
        except (TimedOut, Unavailable):
            return False
        except ProtocolError:
            return True
        return True

    async def drained(self) -> None:
        """Wait until no call is in flight."""
        await self._calls.drained()

    def _receive(self, envelope: Envelope, call: Call | None) -> None:
        """A broken message must not end the reader that all calls share."""
        if not isinstance(envelope.method, str):
            # Too late for who asked, but not for nothing: the server is done with it.
            if isinstance(envelope.id, int):
                self._calls.ghosts.pop(envelope.id, None)
                self.on_free()
            return
        if self._era is None:
            return
        try:
            self._era.receive(envelope, call)
        except (ProtocolError, msgspec.DecodeError, RecursionError) as error:
            log.warning("%s: %s: %s", self.name, envelope.method, error)


def _probe(method: str) -> Request:
    return Request(method, meta=Meta(version=MODERN, capabilities=msgspec.Raw(b"{}")))


def _supports(error: ProtocolError, version: str) -> bool:
    supported = error.data.get("supported") if isinstance(error.data, dict) else None
    return isinstance(supported, list) and version in supported
