"""Streamable HTTP over loopback: both eras, headers, streams, sessions, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from rune.client.calls import Lost, Refused
from rune.client.client import Connection
from rune.client.http import endpoint
from rune.errors import NeedsAuth, NotFound, ProtocolError, TimedOut, Unavailable
from rune.net import Limits
from rune.source import Item, Target
from tests.client.fakes import DISCOVERED, Notes, ask, call
from tests.client.web import event, events, legacy, modern, refusal, result, serving

DEADLINE = 30.0


async def bounded(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


def reach(site, limits: Limits | None = None, **options) -> Connection:
    return Connection(endpoint("web", site.url, limits=limits), **options)


# --- which era -------------------------------------------------------------------------------------------------------


async def test_a_modern_server_is_discovered_and_keeps_one_connection():
    async with serving(modern()) as site, reach(site) as peer:
        for _ in range(5):
            await bounded(peer.handle(call()))
        assert not peer.legacy
        assert len(site.connections) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 406, 415])
async def test_other_refusals_lead_to_the_handshake(status):
    async with serving(legacy(probe_status=status)) as site, reach(site) as peer:
        assert peer.legacy
        assert site.methods() == ["server/discover", "initialize", "notifications/initialized"]


async def test_an_older_server_may_refuse_the_probe_inside_json():
    old = legacy()

    async def serve(site, request, message):
        if message.get("method") == "server/discover":
            return refusal(message, -32000, 400, id=None)
        return await old(site, request, message)

    async with serving(serve) as site, reach(site) as peer:
        assert peer.legacy


async def test_a_recognised_error_is_a_modern_server():
    async def serve(site, request, message):
        if message["method"] == "server/discover":
            return refusal(message, -32021, 400, {"requiredCapabilities": {"sampling": {}}})
        return result(message, {"resultType": "complete", "content": []})

    async with serving(serve) as site, reach(site) as peer:
        assert not peer.legacy
        assert (await bounded(peer.handle(call()))).kind == "complete"


async def test_404_with_unknown_method_is_a_modern_server_without_discovery():
    async def serve(site, request, message):
        if message["method"] == "server/discover":
            return refusal(message, -32601, 404)
        return result(message, {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "public"})

    async with serving(serve) as site, reach(site) as peer:
        assert not peer.legacy
        assert "tools" in peer.discovered["capabilities"]


async def test_unsupported_version_is_tried_again():
    tries = []

    async def serve(site, request, message):
        tries.append(message)
        if len(tries) == 1:
            return refusal(message, -32022, 400, {"supported": ["2026-07-28"], "requested": "2026-07-28"})
        return result(message, DISCOVERED)

    async with serving(serve) as site, reach(site) as peer:
        assert not peer.legacy


async def test_a_server_that_is_busy_when_it_is_probed_is_not_taken_for_an_old_one(monkeypatch):
    monkeypatch.setattr("rune.client.client.HTTP_PROBE_TIMEOUT", 0.3)
    tries = []

    async def serve(site, request, message):
        tries.append(message)
        if len(tries) == 1:
            await asyncio.sleep(DEADLINE)
        return await modern()(site, request, message)

    async with serving(serve) as site, reach(site) as peer:
        assert not peer.legacy
        assert site.methods() == ["server/discover", "server/discover"]


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (401, NeedsAuth, "web: wants a sign-in first"),
        (404, Unavailable, "web: no MCP server at this URL"),
        (500, Unavailable, "web: answered with status 500"),
        (503, Unavailable, "web: answered with status 503"),
    ],
)
async def test_a_url_without_a_server_says_so(status, error, text):
    async def serve(site, request, message):
        return web.Response(status=status)

    async with serving(serve) as site:
        with pytest.raises(error, match=text):
            await bounded(reach(site).__aenter__())


async def test_nobody_there():
    peer = Connection(endpoint("web", "http://127.0.0.1:1/mcp"))
    with pytest.raises(Unavailable, match=r"web: cannot connect to 127.0.0.1:1: connection refused"):
        await bounded(peer.__aenter__())


# --- headers ---------------------------------------------------------------------------------------------------------

TOOL = {
    "name": "größe",
    "inputSchema": {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "n": {"type": "integer", "x-mcp-header": "N"},
            "deep": {"type": "object", "properties": {"on": {"type": "boolean", "x-mcp-header": "On"}}},
        },
    },
}
BROKEN = {
    "name": "broken",
    "inputSchema": {"type": "object", "properties": {"x": {"type": "number", "x-mcp-header": "X"}}},
}
PLAIN = {"name": "plain", "inputSchema": {"type": "object"}}


async def tools(site, request, message):
    if message["method"] == "tools/list":
        value = {"resultType": "complete", "tools": [TOOL, BROKEN, PLAIN], "ttlMs": 5, "cacheScope": "public", "x": 1}
        return result(message, value)
    return result(message, {"resultType": "complete", "content": []})


async def test_mirrored_headers_come_from_the_definition_that_the_client_has_seen():
    """Also on a connection that has never read the list; what nobody here knows passes as it came."""
    async with serving(modern(tools)) as site, reach(site) as peer:
        request = call("shown as this", {"region": "eu"})
        request.target = Target(None, "größe", Item("größe", json.dumps(TOOL).encode()))
        request.headers = {b"mcp-param-region": b"forged", b"mcp-param-tenant": b"=?base64?w6Q=?=", b"host": b"x"}
        await bounded(peer.handle(request))
        headers, message = site.heard[-1]
        assert message["params"]["name"] == "größe"
        assert headers["mcp-name"] == "=?base64?Z3LDtsOfZQ==?="
        assert headers["mcp-param-region"] == "eu"
        assert headers["mcp-param-tenant"] == "=?base64?w6Q=?="
        assert headers["host"] != "x"
        await bounded(peer.handle(call("plain", {})))
        assert not any(name.startswith("mcp-param-") for name in site.heard[-1][0])


async def test_what_the_body_says_is_mirrored_in_headers():
    async with serving(modern(tools)) as site, reach(site) as peer:
        listed = (await bounded(peer.handle(ask("tools/list")))).value
        assert [tool["name"] for tool in listed["tools"]] == ["größe", "plain"]
        assert listed["x"] == 1
        arguments = {"region": " eu ", "n": 7, "deep": {"on": True}, "other": 1}
        await bounded(peer.handle(call("größe", arguments)))
        headers, _ = site.heard[-1]
        assert headers["mcp-protocol-version"] == "2026-07-28"
        assert headers["mcp-method"] == "tools/call"
        assert headers["mcp-name"] == "=?base64?Z3LDtsOfZQ==?="
        assert headers["mcp-param-region"] == "=?base64?IGV1IA==?="
        assert headers["mcp-param-n"] == "7"
        assert headers["mcp-param-on"] == "true"
        assert "mcp-session-id" not in headers
        await bounded(peer.handle(call("größe", {"region": None})))
        assert "mcp-param-region" not in site.heard[-1][0]
        await bounded(peer.handle(call("größe", {"region": "us"})))
        assert site.heard[-1][0]["mcp-param-region"] == "us", "what one call has said is not said for the next one"
        await bounded(peer.handle(ask("resources/read", {"uri": "x:1"})))
        assert site.heard[-1][0]["mcp-name"] == "x:1"


async def test_configured_headers_go_along_but_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving(modern()) as site:
        async with Connection(endpoint("web", site.url, headers={"Authorization": "Bearer x"})) as peer:
            await bounded(peer.handle(call()))
        assert all(headers["authorization"] == "Bearer x" for headers, _ in site.heard)


async def test_cookies_of_one_answer_are_not_sent_with_the_next():
    async def serve(site, request, message):
        return result(message, {"resultType": "complete", "content": []}, headers={"Set-Cookie": "a=b"})

    async with serving(modern(serve)) as site, reach(site) as peer:
        await bounded(peer.handle(call()))
        await bounded(peer.handle(call()))
        assert "cookie" not in site.heard[-1][0]


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [modern, legacy])
async def test_notes_on_the_stream_of_a_call_come_before_its_result(make):
    async def serve(site, request, message):
        token = message["params"]["_meta"]["progressToken"]
        progress = {"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
        line = {"method": "notifications/message", "params": {"level": "info", "data": message["params"]["name"]}}
        answer = {"id": message["id"], "result": {"resultType": "complete", "content": []}}
        return await events(
            request, b": hello\n\n", progress, line, b"data: rubbish\n\n", b"event: x\ndata: {}\n\n", answer
        )

    async with serving(make(serve)) as site, reach(site) as peer:
        one, two = Notes(), Notes()
        await bounded(
            asyncio.gather(
                peer.handle(call("one", token="a", log="info", emit=one)),
                peer.handle(call("two", token="b", log="info", emit=two)),
            )
        )
        assert one.params == [{"progress": 1, "progressToken": "a"}, {"level": "info", "data": "one"}]
        assert two.params == [{"progress": 1, "progressToken": "b"}, {"level": "info", "data": "two"}]


async def test_a_stream_that_ends_before_the_result_is_a_lost_call():
    async def serve(site, request, message):
        return await events(request, b": nothing\n\n")

    async with serving(modern(serve)) as site, reach(site) as peer:
        with pytest.raises(Lost, match="ended before its result"):
            await bounded(peer.handle(call()))


async def test_an_older_stream_is_resumed_where_it_ended():
    async def serve(site, request, message):
        async def get(again: web.Request) -> web.StreamResponse:
            assert again.headers["Last-Event-ID"] == "e1"
            assert again.headers["Mcp-Session-Id"] == "s1"
            answer = {"id": message["id"], "result": {"content": [], "late": True}}
            return await events(again, event(answer, id="e2"))

        site.get = get
        return await events(request, b"id: e1\nretry: 10\ndata: \n\n")

    async with serving(legacy(serve)) as site, reach(site) as peer:
        assert (await bounded(peer.handle(call()))).value["late"] is True


async def test_closing_the_stream_is_the_cancellation_of_a_modern_call():
    started = asyncio.Event()

    async def serve(site, request, message):
        started.set()
        return await events(request, b": wait\n\n", end=False)

    async with serving(modern(serve)) as site, reach(site) as peer:
        task = asyncio.create_task(peer.handle(call()))
        await bounded(started.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bounded(site.closed.wait())
        assert site.methods() == ["server/discover", "tools/call"]


async def test_an_older_call_is_cancelled_by_a_notification():
    started = asyncio.Event()

    async def serve(site, request, message):
        started.set()
        return await events(request, b": wait\n\n", end=False)

    async with serving(legacy(serve)) as site:
        async with reach(site) as peer:
            task = asyncio.create_task(peer.handle(call()))
            await bounded(started.wait())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        _, last = site.heard[-1]
        assert last["method"] == "notifications/cancelled"
        assert site.heard[-1][0]["mcp-session-id"] == "s1"


async def test_a_silent_server_is_timed_out():
    async def serve(site, request, message):
        await asyncio.get_running_loop().create_future()

    async with serving(modern(serve)) as site, reach(site, timeout=0.1) as peer:
        with pytest.raises(TimedOut, match="web: no answer to tools/call"):
            await bounded(peer.handle(call()))


# --- sessions --------------------------------------------------------------------------------------------------------


async def test_a_session_is_named_in_every_request_and_ended_at_the_end():
    async with serving(legacy()) as site:
        async with reach(site) as peer:
            await bounded(peer.handle(call()))
        assert "mcp-session-id" not in site.heard[1][0]
        assert all(headers["mcp-session-id"] == "s1" for headers, _ in site.heard[2:])
        assert site.heard[-1][0]["mcp-protocol-version"] == "2025-06-18"
        assert [headers["mcp-session-id"] for headers in site.deletes] == ["s1"]


async def test_a_forgotten_session_is_opened_anew_once_for_all():
    async with serving(legacy()) as site, reach(site) as peer:
        await bounded(peer.handle(call()))
        site.forgotten = {"s1"}
        results = await bounded(asyncio.gather(*(peer.handle(call()) for _ in range(5))))
        assert [entry.kind for entry in results] == ["complete"] * 5
        assert site.methods().count("initialize") == 2


async def test_a_server_that_forgets_every_session_is_an_error_and_no_loop():
    async with serving(legacy()) as site, reach(site) as peer:
        site.forgotten = {f"s{number}" for number in range(100)}
        with pytest.raises(Refused, match="404"):
            await bounded(peer.handle(call()))
        assert site.methods().count("initialize") == 2


async def test_a_server_without_sessions_is_fine():
    async with serving(legacy(session=False)) as site:
        async with reach(site) as peer:
            assert (await bounded(peer.handle(call()))).kind == "complete"
        assert site.deletes == []


async def test_a_question_on_the_stream_of_a_call_goes_to_its_caller():
    capabilities = {"elicitation": {}}
    answered = asyncio.Event()

    async def serve(site, request, message):
        question = {"id": f"q{message['id']}", "method": "elicitation/create", "params": {"message": "who?"}}
        response = await events(request, question)
        await answered.wait()
        await response.write(event({"id": message["id"], "result": {"content": []}}))
        return response

    async with serving(legacy(serve)) as site, reach(site, capabilities=capabilities) as peer:
        first, second = await bounded(
            asyncio.gather(
                peer.handle(call("asks", capabilities=capabilities, caller="alice")),
                peer.handle(call("asks", capabilities=capabilities, caller="bob")),
            )
        )
        assert first.kind == second.kind == "input_required"
        assert first.state != second.state
        answered.set()


async def test_a_listen_opens_the_stream_of_an_older_server_and_closes_it_after():
    async def get(request):
        changed = {"method": "notifications/tools/list_changed"}
        return await events(request, event(changed, id="1"), end=False)

    async with serving(legacy()) as site, reach(site) as peer:
        site.get = get
        notes = Notes()
        wanted = {"notifications": {"toolsListChanged": True}}
        task = asyncio.create_task(peer.handle(ask("subscriptions/listen", wanted, emit=notes)))
        async with asyncio.timeout(DEADLINE):
            while len(notes.notes) < 2:
                await notes.came.wait()
                notes.came.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert notes.notes[-1].method == "notifications/tools/list_changed"
        assert len(site.gets) == 1


# --- what a server may do to us --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"jsonrpc":"2.0","id":77,"result":{}}']
)
async def test_an_answer_that_is_none_is_a_lost_call(body):
    async def serve(site, request, message):
        return web.Response(body=body, content_type="application/json")

    async with serving(modern(serve)) as site, reach(site) as peer:
        with pytest.raises(Lost, match=r"^web: answered"):
            await bounded(peer.handle(call()))


@pytest.mark.parametrize("kind", ["json", "events", "chunked"])
async def test_an_answer_without_end_is_cut(kind):
    big = b"x" * 300_000

    async def serve(site, request, message):
        if kind == "json":
            return web.Response(body=big, content_type="application/json")
        response = web.StreamResponse(
            headers={"Content-Type": "application/json" if kind == "chunked" else "text/event-stream"}
        )
        await response.prepare(request)
        for _ in range(50):
            await response.write(b"data: " + big)
        return response

    async with serving(modern(serve)) as site, reach(site, Limits(body=100_000, event=100_000)) as peer:
        with pytest.raises(Unavailable, match="100000"):
            await bounded(peer.handle(call()))


async def test_events_that_wait_for_their_rest_are_bounded_together():
    """Each of them is small enough."""
    go_on = asyncio.Event()

    async def serve(site, request, message):
        if message["params"]["name"] == "small":
            return result(message, {"resultType": "complete", "content": []})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + b"x" * 60_000)
        await go_on.wait()
        return response

    async with serving(modern(serve)) as site, reach(site, Limits(held=200_000)) as peer:
        calls = [asyncio.create_task(peer.handle(call())) for _ in range(4)]
        done, _ = await bounded(asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED))
        assert len(done) == 1
        with pytest.raises(Unavailable, match="hold more than 200000 bytes together"):
            done.pop().result()
        assert (await bounded(peer.handle(call("small")))).kind == "complete"
        go_on.set()
        await bounded(asyncio.wait(calls))
        assert peer._wire._outlet.room._used == 0


async def test_a_large_result_passes():
    text = "x" * (5 << 20)

    async def serve(site, request, message):
        return result(message, {"resultType": "complete", "content": [{"type": "text", "text": text}]})

    async with serving(modern(serve)) as site, reach(site) as peer:
        raw = (await bounded(peer.handle(call()))).raw
        assert json.loads(raw)["content"][0]["text"] == text


@pytest.mark.parametrize(("code", "status"), [(-32602, 400), (-32020, 400), (-32601, 404), (4711, 200), (-32603, 500)])
async def test_an_error_comes_through_whatever_its_status(code, status):
    async def serve(site, request, message):
        return refusal(message, code, status, {"a": 1})

    async with serving(modern(serve)) as site, reach(site) as peer:
        with pytest.raises(ProtocolError) as caught:
            await bounded(peer.handle(call()))
        assert (caught.value.code, caught.value.data) == (code, {"a": 1})


async def test_a_missing_resource_is_not_found():
    async def serve(site, request, message):
        return refusal(message, -32602, 200)

    async with serving(modern(serve)) as site, reach(site) as peer:
        with pytest.raises(NotFound):
            await bounded(peer.handle(ask("resources/read", {"uri": "x:1"})))


async def test_a_redirect_within_the_origin_keeps_the_request():
    async def serve(site, request, message):
        if "moved" not in request.query:
            return web.Response(status=307, headers={"Location": "/mcp?moved=1"})
        return await modern()(site, request, message)

    async with serving(serve) as site, reach(site) as peer:
        assert (await bounded(peer.handle(call()))).kind == "complete"


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (302, "/mcp?moved=1"),
        (307, "http://127.0.0.1:9/mcp"),
        (308, "https://example.org/mcp"),
        (307, "/mcp"),
        (307, "http://["),
    ],
)
async def test_other_redirects_are_not_followed(status, location):
    async def serve(site, request, message):
        return web.Response(status=status, headers={"Location": location})

    async with serving(serve) as site:
        with pytest.raises(Unavailable, match=r"web: .*redirect"):
            await bounded(reach(site).__aenter__())
        assert len(site.heard) <= 4


async def test_subscriptions_outlive_a_forgotten_session():
    async with serving(legacy()) as site, reach(site) as peer:
        notes = Notes()
        wanted = {"notifications": {"resourceSubscriptions": ["x:1"]}}
        task = asyncio.create_task(peer.handle(ask("subscriptions/listen", wanted, emit=notes)))
        await bounded(notes.came.wait())
        site.forgotten = {"s1"}
        await bounded(peer.handle(call()))
        subscribed = [h["mcp-session-id"] for h, m in site.heard if m.get("method") == "resources/subscribe"]
        assert subscribed == ["s1", "s2"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_batch_as_an_answer_is_taken_apart():
    async def serve(site, request, message):
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}
        return web.json_response([note, {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}])

    async with serving(legacy(serve)) as site, reach(site) as peer:
        notes = Notes()
        assert (await bounded(peer.handle(call(log="info", emit=notes)))).kind == "complete"
        assert notes.params == [{"level": "info", "data": 1}]


async def test_a_refused_handshake_says_what_the_server_said():
    async def serve(site, request, message):
        return refusal(message, -32000, 400)

    async with serving(serve) as site:
        with pytest.raises(Unavailable, match=r"web: refused the handshake: no \(-32000\)"):
            await bounded(reach(site).__aenter__())


async def test_a_server_that_cannot_keep_streams_open_is_not_asked_again_and_again():
    async with serving(legacy()) as site, reach(site, capabilities={"roots": {}}) as peer:
        await bounded(peer.handle(call()))
        assert len(site.gets) == 1


async def test_a_stream_that_ends_is_opened_again_after_the_time_it_named():
    async def get(request):
        return await events(request, b"id: 7\nretry: 10\ndata: \n\n")

    async with serving(legacy()) as site:
        site.get = get
        async with reach(site, capabilities={"roots": {}}):
            async with asyncio.timeout(DEADLINE):
                while len(site.gets) < 3:
                    await asyncio.sleep(0.01)
    assert "last-event-id" not in site.gets[0]
    assert site.gets[1]["last-event-id"] == "7"


async def test_a_question_on_the_stream_beside_the_calls_goes_to_the_only_call():
    released = asyncio.Event()
    answers = []

    async def get(request):
        await released.wait()
        return await events(request, {"id": "q", "method": "roots/list"}, end=False)

    async def serve(site, request, message):
        released.set()
        await asyncio.get_running_loop().create_future()

    old = legacy(serve)

    async def both(site, request, message):
        if "method" not in message:
            answers.append(message)
        return await old(site, request, message)

    async with serving(both) as site:
        site.get = get
        async with reach(site, capabilities={"roots": {}}) as peer:
            first = await bounded(peer.handle(call(capabilities={"roots": {}})))
            assert first.kind == "input_required"
            assert answers == []
