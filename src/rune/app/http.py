"""Serve HTTP and WebSocket with uvicorn, and stop in a way that open streams understand."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import uvicorn

from rune.app import Listen, dispatcher, turn
from rune.app.reload import Load, serving
from rune.auth.guard import LOOPBACK, Gate
from rune.build import House
from rune.coding import Coding
from rune.errors import ConfigError
from rune.gateway import Gateway
from rune.server.asgi import App
from rune.server.coded import CodedApp, CodedFastLane
from rune.server.dispatch import Dispatcher
from rune.server.endpoint import Endpoint, ProfileEndpoint
from rune.server.fastlane import FastLane
from rune.server.legacy.http import LegacyHttp
from rune.server.legacy.sse import SseTransport
from rune.source import Source

log = logging.getLogger("rune.server")

GRACE: Final = 3
"""Seconds after which connections that still do not end are cut."""
BACKLOG: Final = 2048
GC_THRESHOLD: Final = (2_000, 10, 10)
HEAP_STEP: Final = 8 * 1024 * 1024
"""Bytes of one block up to which memory that was freed is kept for the next one; twice as many are kept in all."""


class HttpRim:
    """What faces the clients on HTTP: an app with one endpoint for the gateway and one for each of its profiles."""

    def __init__(self, gateway: Gateway, listen: Listen) -> None:
        self.listen = listen
        self._coding = gateway.coding
        endpoint, sse = _door(gateway, listen)
        self.app = App(endpoint, sse, max_body=listen.max_body)
        self._endpoints = {"": endpoint}
        self._ending: dict[asyncio.Task[None], Dispatcher] = {}
        self._open_profiles(gateway, listen)

    def _open_profiles(self, gateway: Gateway, listen: Listen) -> None:
        for name in gateway.profiles.keys() - self._endpoints.keys():
            endpoint, sse = _door(gateway.profiles[name], listen, name)
            self._endpoints[name] = endpoint
            self.app.open(name, endpoint, sse)

    def swap(self, gateway: Gateway, listen: Listen) -> None:
        """Put a newer gateway behind the endpoints. Those of profiles that are no more end, their calls in flight
        first."""
        self._coding = gateway.coding
        gate = _gate(listen)
        behind = {"": gateway, **gateway.profiles}
        for name, endpoint in tuple(self._endpoints.items()):
            if name in behind:
                turn(endpoint.dispatcher, behind[name], listen)
                endpoint.gate = gate
            else:
                del self._endpoints[name]
                task = asyncio.create_task(self.app.shut(name, listen.timeout))
                self._ending[task] = endpoint.dispatcher
                task.add_done_callback(lambda task: self._ending.pop(task) and None)
        self._open_profiles(gateway, listen)

    def coding(self) -> Coding | None:
        """How whole answers are coded now."""
        return self._coding

    def connection(self, **uvicorn: Any) -> FastLane:
        """For a new connection. One that is open keeps the lanes that it has."""
        lanes, max_body = self.app.lanes, self.listen.max_body
        if self._coding is None:
            return FastLane(lanes, max_body, **uvicorn)
        return CodedFastLane(lanes, max_body, self.coding, **uvicorn)

    def busy(self, source: Source) -> set[asyncio.Task[Any]]:
        """The requests under way that a source answers, or may be about to."""
        dispatchers = [*(endpoint.dispatcher for endpoint in self._endpoints.values()), *self._ending.values()]
        return {task for each in dispatchers for task in each.busy(source)}


def asgi(gateway: Gateway, listen: Listen | None = None) -> App | CodedApp:
    """The gateway as an ASGI app. Whoever mounts it enters the gateway first (`async with gateway`)."""
    rim = HttpRim(gateway, listen or Listen())
    return rim.app if gateway.coding is None else CodedApp(rim.app, rim.coding, rim.listen.max_body)


def _door(gateway: Gateway, listen: Listen, profile: str = "") -> tuple[Endpoint, SseTransport]:
    """The way into a gateway, for all revisions."""
    dispatch = dispatcher(gateway, listen)
    legacy = LegacyHttp(dispatch, max_sessions=listen.max_sessions, idle=listen.session_idle)
    if profile:
        return ProfileEndpoint(dispatch, legacy, _gate(listen), gateway.inside), SseTransport(dispatch, profile)
    return Endpoint(dispatch, legacy, _gate(listen)), SseTransport(dispatch)


def _gate(listen: Listen) -> Gate:
    return Gate((listen.host, *listen.allowed_hosts), listen.allowed_origins, numeric=not _local(listen))


def _local(listen: Listen) -> bool:
    return listen.host in LOOPBACK or listen.host == "::1"


class HttpServer(uvicorn.Server):
    """uvicorn, but open streams are told that the server stops before their connections are waited for."""

    def __init__(self, rim: HttpRim) -> None:
        listen = rim.listen
        super().__init__(
            uvicorn.Config(
                CodedApp(rim.app, rim.coding, listen.max_body),
                host=listen.host,
                port=listen.port,
                http=rim.connection,  # type: ignore[arg-type]
                ws="websockets-sansio",
                ws_max_size=listen.max_body,
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=listen.keep_alive,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._app = rim.app
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals are those of `serve`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; connections are looked after once a second."""
        if counter % 10 == 0:
            now = monotonic()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, FastLane):
                    connection.sweep(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say goodbye on every open stream, then let uvicorn wait for what is left."""
        try:
            await asyncio.wait_for(self._app.close(), GRACE)
        except TimeoutError:
            log.warning("some streams did not take their last message in time")
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """The listening socket.

    Raises:
        ConfigError: when the address cannot be had.
    """
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            f"{host}:{port}: {error.strerror or error}", hint="choose another port with --port, or stop what uses it"
        ) from None
    return listener


def keep_memory() -> None:
    """glibc learns from a block that is freed: smaller ones come from the heap from now on, which is trimmed late."""
    bytes(HEAP_STEP)


async def serve(
    house: House, listen: Listen, *, ready: Callable[[int], None] | None = None, load: Load | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` gets the port once it is open, `load` reads the config again.

    Raises:
        ConfigError: when the address cannot be had.
    """
    listener = bind(listen.host, listen.port)
    # Whoever else may come here is not known to be who runs it.
    house.sign_ins.local = _local(listen) and not listen.allowed_hosts
    rim = HttpRim(house.gateway, listen)
    server = HttpServer(rim)
    with listener:
        async with serving(house, rim, load) as stop:
            listening = asyncio.create_task(server.serve([listener]))
            up, stopping = asyncio.create_task(server.up.wait()), asyncio.create_task(stop.wait())
            await asyncio.wait({listening, up}, return_when=asyncio.FIRST_COMPLETED)
            # All that is here now stays: the collector need not look at it again, nor at every few requests.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            keep_memory()
            if ready is not None and up.done():
                ready(listener.getsockname()[1])
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            stopping.cancel()
            server.should_exit = True
            await listening
