"""Random bytes and random JSON to the endpoint and to a shared connection: an answer or silence, never a crash."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rune.app import Listen, dispatcher
from rune.app.http import asgi
from rune.build import build
from rune.config.model import Config, SourceConfig
from rune.protocol.methods import METHODS, REVISIONS
from rune.server.duplex import Duplex
from rune.wires.memory import MemoryWire
from rune.wires.stdio import Lines
from tests.wire.client import Client
from tests.wire.schemas import MODERN, check_frame

TOOLS = Path(__file__).with_name("badtools.py")
CONFIG = Config(sources=(SourceConfig("bad", "python", str(TOOLS), origin="test"),))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

META = Client(MODERN).meta()
NAMES = ["echo", "anything", "raises", "thing", "thing://1", "thing://{id}"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(NAMES)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
KEYS = [
    "name", "uri", "arguments", "cursor", "ref", "argument", "notifications", "taskId", "inputResponses",
    "requestState",
    "protocolVersion", "capabilities", "level", "requestId", "task", "value",
]  # fmt: skip
metas = (
    values
    | st.just(META)
    | st.builds(
        lambda extra: {**META, **extra}, st.dictionaries(st.sampled_from([*META, "progressToken"]), values, max_size=2)
    )
)
params = values | st.builds(
    lambda found, meta: {**found, "_meta": meta},
    st.dictionaries(st.sampled_from(KEYS), values | st.sampled_from(REVISIONS), max_size=5),
    metas,
)
# Listens last, and calls that hang are for other tests.
methods = st.sampled_from(
    [name for name in METHODS if name != "subscriptions/listen"]
    + ["notifications/cancelled", "notifications/initialized", "x"]
)
messages = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | values, "method": methods | values},
    optional={
        "id": st.integers(-5, 5) | st.text(max_size=3) | values,
        "params": params,
        "result": values,
        "error": values,
        "x": values,
    },
)
jsons = st.one_of(messages, messages, values, st.lists(messages, max_size=3)).map(
    lambda value: json.dumps(value).encode()
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """JSON with a few bytes changed."""
    data = bytearray(draw(jsons))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


frames = st.one_of(jsons, broken(), st.binary(max_size=200))
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
headers = st.dictionaries(
    st.sampled_from(
        [
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
            "mcp-session-id",
            "mcp-param-x",
            "accept",
            "last-event-id",
            "origin",
        ]
    ),
    tokens
    | st.sampled_from(
        [
            *REVISIONS,
            *METHODS,
            *NAMES,
            "=?base64?Zm9v?=",
            "=?base64?!?=",
            "text/event-stream",
            "http://localhost",
            "*/*",
        ]
    ),
    max_size=5,
)


def run(use: Callable[[Any], Any]) -> None:
    """Give a gateway to a coroutine function, in a loop of its own."""

    async def main() -> None:
        async with build(CONFIG) as gateway, gateway:
            await use(gateway)

    asyncio.run(main())


def judge(frame: Any) -> None:
    """Every frame is JSON-RPC, whatever it answers."""
    for each in frame if isinstance(frame, list) else [frame]:
        assert "result" in each or "method" in each or each["error"]["code"] <= -32000, each
        if "error" in each:
            check_frame(MODERN, each)


@QUICK
@given(st.lists(st.tuples(frames, headers), max_size=8))
def test_the_http_endpoint(exchanges: list[tuple[bytes, dict[str, str]]]) -> None:
    async def use(gateway: Any) -> None:
        app = asgi(gateway, Listen(timeout=1))
        for body, extra in exchanges:
            method = {0: "GET", 1: "DELETE"}.get(len(body) % 13, "POST")
            async with exchange(
                app, method, body, {"host": "localhost", "content-type": "application/json", **extra}
            ) as sent:
                status = sent[0]["status"]
                content = b"".join(event.get("body", b"") for event in sent[1:])
                assert status in (200, 202, 204, 400, 403, 404, 405, 406), (status, content)
                if content and dict(sent[0]["headers"])[b"content-type"] == b"application/json":
                    judge(json.loads(content))
        await app.close()

    run(use)


@asynccontextmanager
async def exchange(app: Any, method: str, body: bytes, named: dict[str, str]) -> AsyncIterator[list[Any]]:
    """One ASGI exchange; the client of a stream goes away when it has begun."""
    sent: list[Any] = []
    gone = asyncio.Event()
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if first:
            return first.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)
        if method == "GET":
            gone.set()

    lines = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    scope = {"type": "http", "method": method, "path": "/mcp", "query_string": b"", "headers": lines}
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    yield sent


@QUICK
@given(st.lists(frames, max_size=12), st.sampled_from([None, *REVISIONS[:-1]]))
def test_a_shared_connection(data: list[bytes], revision: str | None) -> None:
    async def use(gateway: Any) -> None:
        dispatch = dispatcher(gateway, Listen(timeout=1))
        async with MemoryWire(lambda way: Duplex(dispatch, way)) as wire:
            if revision is not None:
                hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
                wire.send(
                    json.dumps({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": hello}).encode()
                )
                assert json.loads(await wire.receive())["result"]["protocolVersion"] == revision
            for each in data:
                wire.send(each)
            # Whatever came before, this one is answered.
            wire.send(
                json.dumps(
                    {"jsonrpc": "2.0", "id": "last", "method": "server/discover", "params": {"_meta": META}}
                ).encode()
            )
            while True:
                frame = json.loads(await wire.receive())
                judge(frame)
                if (
                    not isinstance(frame, list)
                    and frame.get("id") == "last"
                    and "supportedVersions" in frame.get("result", {})
                ):
                    return

    run(use)


@QUICK
@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=10))
def test_lines_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    """Whole or in pieces, the same frames come out; what is too long is reported once for each line."""

    class Peer:
        def __init__(self) -> None:
            self.frames: list[bytes] = []
            self.reports = 0

        def feed(self, frame: bytes) -> None:
            self.frames.append(frame)

        def oversize(self, limit: int) -> None:
            self.reports += 1

    limit = 40
    peers = Peer(), Peer()
    whole, pieces = (Lines(peer, limit) for peer in peers)  # type: ignore[arg-type]
    whole.feed(data)
    position = 0
    for cut in cuts:
        pieces.feed(data[position : position + cut])
        position += cut
    pieces.feed(data[position:])
    for lines in (whole, pieces):
        lines.end()
    expected = [line for line in data.split(b"\n") if line and not line.isspace()]
    for peer in peers:
        assert peer.frames == [line for line in expected if len(line) <= limit]
        assert peer.reports == sum(len(line) > limit for line in data.split(b"\n"))
