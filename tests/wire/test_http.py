"""What only Streamable HTTP has: headers, statuses, sessions, streams that are taken up again, batches."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import aiohttp
import pytest

from tests.rig import Rig
from tests.wire.client import META, Client, Refused, text_of, word
from tests.wire.conftest import Connect
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN, check

pytestmark = pytest.mark.asyncio(loop_scope="session")

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
        message["params"]["_meta"] = {key: value for key, value in message["params"]["_meta"].items() if value is not None}
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
        for header, wrong in ((string, said[2:]), (string, sealed(word())), (integer, "43"), (integer, "x"), (boolean, "True")):
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


@pytest.mark.parametrize(("header", "value", "good"), [
    ("Origin", "http://evil.example", False), ("Origin", "null", False), ("Origin", "http://localhost.evil.example", False),
    ("Origin", "http://127.0.0.1:99999999", True), ("Origin", "https://localhost", True), ("Origin", "http://[::1]:3000", True),
    ("Host", "evil.example", False), ("Host", "evil.example:7331", False), ("Host", "localhost", True), ("Host", "127.0.0.1:1", True),
    ("Host", "localhost@evil.example", False), ("Host", "127.0.0.1:80.evil.example", False), ("Host", "", False),
])  # fmt: skip
@pytest.mark.parametrize("path", ["/mcp", "/sse"])
async def test_foreign_hosts_and_origins(server: Rig, connect: Connect, path: str, header: str, value: str, good: bool) -> None:
    client = await connect("http", MODERN)
    message = client.message("tools/list")
    headers = client.headers(message) | {header: value}
    if path == "/mcp":
        async with client.http.post(client.url, data=json.dumps(message), headers=headers) as response:
            assert response.status == (200 if good else 403)
        return
    async with client.http.get(server.base + path, headers=headers) as response:
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


@pytest.mark.parametrize("name", ["mcp-protocol-version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id", "HOST", "Mcp-Param-X"])
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


# --- sessions --------------------------------------------------------------------------------------------------------

OLD = pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2025-03-26"])


@OLD
async def test_a_session_from_birth_to_death(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    assert client.session is not None
    assert all(0x21 <= ord(letter) <= 0x7E for letter in client.session)
    assert len(client.session) >= 32
    other = await connect("http", revision)
    assert other.session != client.session
    assert await client.delete() == 204
    assert await client.delete() == 404
    with pytest.raises(Refused) as refused:
        await client.request("tools/list")
    assert refused.value.status == 404
    assert (await other.request("tools/list"))["tools"]


@OLD
async def test_no_session_and_an_unknown_one(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    message = client.message("tools/list")
    status, body = await post(client, message, **{"Mcp-Session-Id": None})
    assert (status, body["id"]) == (400, message["id"])
    for wrong in (word(), client.session[:-1] + "0x", "", "é"):
        status, body = await post(client, message, **{"Mcp-Session-Id": wrong})
        assert (status, body["id"]) == (404, message["id"]), wrong
        async with client.http.get(client.url, headers={"accept": "text/event-stream", "Mcp-Session-Id": wrong}) as response:
            assert response.status == 404
            assert "Mcp-Session-Id" not in response.headers


async def test_an_unserved_version_is_answered_with_one_that_is(connect: Connect) -> None:
    client = await connect("http", "2025-11-25")
    params = {"protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    status, body = await post(client, client.message("initialize", params), **{"Mcp-Session-Id": None, "MCP-Protocol-Version": None})
    assert (status, body["result"]["protocolVersion"]) == (200, "2025-11-25")
    assert (await post(client, client.message("tools/list"), **{"MCP-Protocol-Version": "1999-01-01"}))[0] == 400


@pytest.mark.parametrize("params", [{}, {"protocolVersion": 7}, {"protocolVersion": "2025-06-18", "capabilities": []}])
async def test_a_failed_handshake_leaves_no_session(connect: Connect, params: dict[str, Any]) -> None:
    client = await connect("http", "2025-06-18")
    status, body, headers = await client.post(
        json.dumps(client.message("initialize", params)).encode(), **{"Mcp-Session-Id": None, "MCP-Protocol-Version": None}
    )
    assert (status, body["error"]["code"]) == (400, -32602)
    assert "Mcp-Session-Id" not in headers


# --- streams that are taken up again ---------------------------------------------------------------------------------


@OLD
async def test_the_rest_of_a_stream_comes_exactly_once(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    key, token = word(), word()
    exchange = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}}, meta={"progressToken": token})
    assert (await exchange.next())["params"]["progress"] == 1
    last = exchange.events[-1][0]
    assert last
    assert (exchange.events[0][1] == "") == (revision == "2025-11-25"), "the priming event came with 2025-11-25"
    await client.drop(exchange)
    await client.text("mark", key=key, what="go")
    assert await client.text("marked", key=key, what="ended", seconds=5) == "true"
    for _ in range(2):
        rest = await client.resume(last)
        frames = [json.loads(data) for _, data in rest]
        assert [frame.get("method") for frame in frames] == ["notifications/progress", None]
        assert frames[0]["params"]["progress"] == 2
        assert frames[1]["id"] == exchange.id
        assert text_of(frames[1]["result"]) == key
        assert len({id for id, _ in exchange.events + rest}) == len(exchange.events + rest)
    again = await client.resume(exchange.events[0][0])
    assert len(again) == len(exchange.events) + 1


@OLD
async def test_a_client_that_comes_back_while_the_call_still_runs(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    key = word()
    exchange = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}}, meta={"progressToken": key})
    await exchange.next()
    await client.drop(exchange)
    back = asyncio.create_task(client.resume(exchange.events[-1][0]))
    await client.text("mark", key=key, what="go")
    frames = [json.loads(data) for _, data in await back]
    assert [frame.get("method") for frame in frames] == ["notifications/progress", None]


async def test_polling_releases_the_stream_and_the_answer_waits(connect: Connect) -> None:
    client = await connect("http", "2025-11-25")
    key = word()
    exchange = await client.open("tools/call", {"name": "let_poll", "arguments": {"key": key}})
    async with asyncio.timeout(5):
        await exchange.over.wait()
    assert exchange.response is None
    assert [data for _, data in exchange.events] == [""]
    await client.text("mark", key=key, what="go")
    rest = await client.resume(exchange.events[0][0])
    assert text_of(json.loads(rest[-1][1])["result"]) == key


async def test_older_revisions_hold_the_stream_instead(connect: Connect) -> None:
    client = await connect("http", "2025-06-18")
    key = word()
    exchange = await client.open("tools/call", {"name": "let_poll", "arguments": {"key": key}})
    assert await client.text("marked", key=key, what="started", seconds=5) == "true"
    await client.text("mark", key=key, what="go")
    assert text_of(await exchange.result()) == key


async def test_one_session_cannot_read_the_stream_of_another(connect: Connect) -> None:
    one, two = await connect("http", "2025-11-25"), await connect("http", "2025-11-25")
    exchange = await one.open("tools/call", {"name": "steps", "arguments": {"count": 3, "message": word()}}, meta={"progressToken": 1})
    await exchange.result()
    # In the other session the id means nothing: its own standing stream opens, and stays silent.
    headers = two.headers(accept="text/event-stream") | {"Last-Event-ID": exchange.events[0][0]}
    async with two.http.get(two.url, headers=headers) as response:
        assert response.status == 200
        assert await response.content.readuntil(b"\n\n") == b":\n\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readline(), 0.2)


# --- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_of_everything(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    words = [word(), word()]
    calls = [client.message("tools/call", {"name": "echo", "arguments": {"text": each}}) for each in words]
    unknown = client.message("no/such")
    members = [calls[0], {"jsonrpc": "2.0", "method": "notifications/x"}, unknown, 7, {"jsonrpc": "2.0"}, calls[1]]
    status, body, _ = await client.post(json.dumps(members).encode())
    assert status == 200
    answers = {answer["id"]: answer for answer in body if answer["id"] is not None}
    assert len(body) == 5
    assert [text_of(answers[call["id"]]["result"]) for call in calls] == words
    assert answers[unknown["id"]]["error"]["code"] == -32601
    assert [answer["error"]["code"] for answer in body if answer["id"] is None] == [-32600, -32600]
    check("2025-03-26", "JSONRPCBatchResponse", [answer for answer in body if answer["id"] is not None])


async def test_a_batch_of_notifications_only(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    members = [{"jsonrpc": "2.0", "method": "notifications/x"}, {"jsonrpc": "2.0", "id": "nobody", "result": {}}]
    assert (await client.post(json.dumps(members).encode()))[:2] == (202, None)


async def test_a_batch_with_progress_becomes_a_stream(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    calls = [client.message("tools/call", {"name": "steps", "arguments": {"count": 3, "message": str(n)}}, meta={"progressToken": n}) for n in range(2)]
    status, body, _ = await client.post(json.dumps(calls).encode())
    assert status == 200
    frames = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    assert len(frames) == 7
    assert {answer["id"] for answer in frames[-1]} == {call["id"] for call in calls}


@pytest.mark.parametrize("body", [b"[]", b"[1", b" [ ] ", json.dumps([{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(200)]).encode()])
async def test_what_is_no_batch(connect: Connect, body: bytes) -> None:
    client = await connect("http", "2025-03-26")
    status, answer, _ = await client.post(body)
    assert (status, answer["error"]["code"]) == (400, -32700 if body == b"[1" else -32600)


@pytest.mark.parametrize("revision", [MODERN, "2025-11-25", "2025-06-18"])
async def test_other_revisions_have_no_batches(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    status, body, _ = await client.post(json.dumps([client.message("tools/list")]).encode())
    assert (status, body["error"]["code"]) == (400, -32600)
