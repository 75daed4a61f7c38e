"""Streamable HTTP: what the headers must say, who may come, and which status says what."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.rig import Rig
from tests.wire.client import META, Client, word
from tests.wire.conftest import Connect
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN, check

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(params=["http", "asgi"], loop_scope="session")
async def connect(request: pytest.FixtureRequest, connect: Connect) -> Connect:
    """The same over both carriers: the one of `rune serve`, and any other ASGI server."""

    async def over(wire: str, revision: str) -> Client:
        return await connect(request.param if wire == "http" else wire, revision)

    return over


SENTINEL = "=?base64?{}?="


def sealed(text: str) -> str:
    return SENTINEL.format(base64.b64encode(text.encode()).decode())


async def post(client: HttpClient, message: dict[str, Any], **headers: str | None) -> tuple[int, Any]:
    """Status and body of a message with other headers than the right ones."""
    status, body, _ = await client.post(json.dumps(message).encode(), **(client.headers(message) | headers))
    return status, body


async def mismatch(client: HttpClient, message: dict[str, Any], **headers: str | None) -> None:
    status, body = await post(client, message, **headers)
    assert (status, body["error"]["code"]) == (400, -32020), body
    assert body["id"] == message["id"]
    check(MODERN, "HeaderMismatchError", body)


# --- headers of the modern era ---------------------------------------------------------------------------------------


async def test_the_standard_headers_must_say_what_the_body_says(connect: Connect) -> None:
    client = await connect("http", MODERN)
    text = word()
    message = client.message("tools/call", {"name": "echo", "arguments": {"text": text}})
    for name, wrong in (("MCP-Protocol-Version", "2027-01-01"), ("Mcp-Method", "tools/list"), ("Mcp-Name", "fail")):
        await mismatch(client, message, **{name: wrong})
        await mismatch(client, message, **{name: None})
    for wrong in ("ECHO", sealed("fail"), "=?base64?!!!?=", "=?base64?gICA?=", "=?BASE64?ZWNobw==?="):
        await mismatch(client, message, **{"Mcp-Name": wrong})
    for right in (sealed("echo"), "  echo\t"):
        status, body = await post(client, message, **{"Mcp-Name": right})
        assert (status, body["result"]["content"][0]["text"]) == (200, text)


async def test_mirrored_names_of_every_kind(connect: Connect) -> None:
    client = await connect("http", MODERN)
    uri = f"note://{word()}ü"
    message = client.message("resources/read", {"uri": uri})
    await mismatch(client, message, **{"Mcp-Name": "note://other"})
    status, body = await post(client, message, **{"Mcp-Name": sealed(uri)})
    assert (status, body["result"]["contents"][0]["uri"]) == (200, uri)
    message = client.message("prompts/get", {"name": "greet", "arguments": {"name": "x"}})
    await mismatch(client, message, **{"Mcp-Name": "p1"})
    message = client.message("tasks/get", {"taskId": word()})
    await mismatch(client, message, **{"Mcp-Name": word()})


async def test_the_version_and_what_is_said_of_the_client(connect: Connect) -> None:
    client = await connect("http", MODERN)

    async def sent(change: dict[str, Any], header: str | None = MODERN) -> tuple[int, int, Any]:
        message = client.message("tools/list", meta=change)
        message["params"]["_meta"] = {
            key: value for key, value in message["params"]["_meta"].items() if value is not None
        }
        status, body = await post(client, message, **{"MCP-Protocol-Version": header})
        assert body["id"] == message["id"]
        return status, body["error"]["code"], body["error"].get("data")

    version, capabilities = META + "protocolVersion", META + "clientCapabilities"
    unknown = f"2099-{word()}"
    status, code, data = await sent({version: unknown}, unknown)
    assert (status, code, data["requested"]) == (400, -32022, unknown)
    assert MODERN in data["supported"]
    assert (await sent({version: None}))[:2] == (400, -32602)
    assert (await sent({capabilities: None}))[:2] == (400, -32602)
    assert (await sent({capabilities: []}))[:2] == (400, -32602)
    assert (await sent({version: 7}))[:2] == (400, -32602)
    # The era is told by the body where the header is missing (defect D2 of the official SDK).
    assert (await sent({}, None))[:2] == (400, -32020)
    # A legacy version in a modern envelope, without a session.
    assert (await sent({version: "2025-11-25"}, "2025-11-25"))[:2] == (400, -32602)
    assert (await sent({version: "2025-11-25"}, None))[:2] == (400, -32602)


async def test_header_without_envelope(connect: Connect) -> None:
    client = await connect("http", MODERN)
    for params in ({}, {"params": {}}, {"params": {"_meta": {}}}):
        message = {"jsonrpc": "2.0", "id": word(), "method": "tools/list", **params}
        status, body = await post(client, message)
        assert (status, body["error"]["code"], body["id"]) == (400, -32602, message["id"])


async def test_modern_requests_never_get_a_session(connect: Connect) -> None:
    client = await connect("http", MODERN)
    exchange = await client.open("tools/list", headers={"Mcp-Session-Id": word(), "Last-Event-ID": "1-1"})
    await exchange.result()
    assert "Mcp-Session-Id" not in exchange.headers


async def test_a_response_and_a_notification(connect: Connect) -> None:
    client = await connect("http", MODERN)
    status, body = await post(client, client.message("notifications/" + word()) | {"id": None})
    assert status == 400
    message = client.message("notifications/x")
    del message["id"]
    assert await post(client, message) == (202, None)
    status, body, _ = await client.post(b'{"jsonrpc":"2.0","id":1,"result":{}}', **{"MCP-Protocol-Version": MODERN})
    assert (status, body["error"]["code"]) == (400, -32600)


async def test_the_event_stream_when_it_is_preferred(connect: Connect) -> None:
    client = await connect("http", MODERN)
    exchange = await client.open("tools/list", headers={"accept": "text/event-stream, application/json"})
    assert (await exchange.result())["tools"]
    assert exchange.headers["content-type"] == "text/event-stream"
    assert [id for id, _ in exchange.events] == [None], "events of this revision have no id"


# --- x-mcp-header ----------------------------------------------------------------------------------------------------


async def headed(client: Client) -> tuple[str, dict[str, str]]:
    """A tool with three mirrored arguments, and their headers."""
    fields = {kind: word() for kind in ("string", "integer", "boolean")}
    inner = {fields["boolean"]: {"type": "boolean", "x-mcp-header": fields["boolean"].title()}}
    schema = {
        "type": "object",
        "properties": {
            fields["string"]: {"type": "string", "x-mcp-header": fields["string"]},
            fields["integer"]: {"type": "integer", "x-mcp-header": fields["integer"].upper()},
            "deep": {"type": "object", "properties": inner},
        },
    }
    return await client.text("offer", name=word(), schema=schema, meta={}), fields


async def test_mirrored_arguments(connect: Connect) -> None:
    client = await connect("http", MODERN)
    name, fields = await headed(client)
    string, integer, boolean = (fields[kind] for kind in ("string", "integer", "boolean"))
    said = f"grüße {word()}"
    arguments = {string: said, integer: 42, "deep": {boolean: True}}
    right = {f"Mcp-Param-{string}": sealed(said), f"Mcp-Param-{integer}": "42", f"Mcp-Param-{boolean}": "true"}
    message = client.message("tools/call", {"name": name, "arguments": arguments})
    try:
        for good in (right, right | {f"Mcp-Param-{integer}": "042"}, right | {"Mcp-Param-Unknown": "x"}):
            status, body = await post(client, message, **good)
            assert (status, body["result"]["structuredContent"]) == (200, arguments), good
        for header in right:
            await mismatch(client, message, **{key: value for key, value in right.items() if key != header})
        for header, wrong in (
            (string, said[2:]),
            (string, sealed(word())),
            (integer, "43"),
            (integer, "x"),
            (boolean, "True"),
        ):
            await mismatch(client, message, **(right | {f"Mcp-Param-{header}": wrong}))
        await mismatch(client, message, **(right | {f"Mcp-Param-{string}": "=?base64?###?="}))
        # No argument or null: no header.
        bare = client.message("tools/call", {"name": name, "arguments": {string: None}})
        assert (await post(client, bare))[0] == 200
        await mismatch(client, bare, **{f"Mcp-Param-{string}": "x"})
    finally:
        await client.tool("withdraw", name=name)


async def test_mirrored_arguments_mean_nothing_to_legacy_clients_and_other_wires(connect: Connect) -> None:
    for wire, revision in (("http", "2025-11-25"), ("ws", MODERN)):
        client = await connect(wire, revision)
        name, fields = await headed(client)
        assert (await client.tool(name, **{fields["string"]: "x"}))["structuredContent"] == {fields["string"]: "x"}
        await client.tool("withdraw", name=name)


# --- who may come ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value", "good"),
    [
        ("Origin", "http://evil.example", False),
        ("Origin", "null", False),
        ("Origin", "http://localhost.evil.example", False),
        ("Origin", "https://localhost", True),
        ("Origin", "http://127.0.0.1:8080", True),
        ("Origin", "http://[::1]:3000", True),
        ("Host", "evil.example", False),
        ("Host", "evil.example:7331", False),
        ("Host", "localhost@evil.example", False),
        ("Host", "127.0.0.1:80.evil.example", False),
        ("Host", "", False),
        ("Host", "localhost", True),
        ("Host", "127.0.0.1:1", True),
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_foreign_hosts_and_origins(connect: Connect, path: str, header: str, value: str, good: bool) -> None:
    client = await connect("http", MODERN)
    message = client.message("tools/list")
    headers = client.headers(message) | {header: value}
    if path == "/mcp":
        async with client.http.post(client.url, data=json.dumps(message), headers=headers) as response:
            assert response.status == (200 if good else 403)
        return
    async with client.http.get(client.url.replace("/mcp", path), headers=headers) as response:
        assert response.status == (200 if good else 403)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
@pytest.mark.parametrize("path", ["/", "/ws", "/mcp"])
async def test_foreign_origins_get_no_websocket(server: Rig, path: str, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"ws://127.0.0.1:{server.port}{path}", headers=headers, protocols=("mcp",))
        assert refused.value.status == 403


async def test_other_methods_paths_and_types(server: Rig, connect: Connect) -> None:
    client = await connect("http", MODERN)
    for method, status in (("GET", 405), ("DELETE", 400), ("PUT", 405), ("PATCH", 405), ("OPTIONS", 405)):
        async with client.http.request(method, server.url) as response:
            assert response.status == status, method
            assert "Mcp-Session-Id" not in response.headers
    async with client.http.get(server.base + "/" + word()) as response:
        assert response.status == 404
    async with client.http.head(server.base + "/health") as response:
        assert response.status == 200
    for kind in ("text/plain", "", "application/jsonx", "multipart/form-data"):
        assert (await client.post(b"{}", **{"content-type": kind}))[0] == 415
    message = client.message("tools/list")
    assert (await post(client, message, **{"content-type": "Application/JSON; charset=utf-8"}))[0] == 200


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id", "HOST", "Mcp-Param-X"]
)
async def test_a_header_that_decides_something_twice(server: Rig, connect: Connect, name: str) -> None:
    client = await connect("http", MODERN)
    message = client.message("tools/call", {"name": "echo", "arguments": {"text": "x"}})
    body = json.dumps(message).encode()
    own = {"Host": "localhost", "Content-Length": str(len(body)), "Connection": "close", **client.headers(message)}
    value = {key.lower(): value for key, value in own.items()}.get(name.lower())
    twice = [*own.items(), (name, value or "x"), *([] if value else [(name, "x")])]
    head = "".join(f"{key}: {value}\r\n" for key, value in twice)
    assert server.raw(b"POST /mcp HTTP/1.1\r\n%b\r\n%b" % (head.encode(), body)).startswith(b"HTTP/1.1 400 ")
    once = "".join(f"{key}: {value}\r\n" for key, value in own.items())
    assert server.raw(b"POST /mcp HTTP/1.1\r\n%b\r\n%b" % (once.encode(), body)).startswith(b"HTTP/1.1 200 ")
