"""Connections over an in-memory carrier: which era, what goes out, what comes back."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from rune.client.calls import Lost
from rune.errors import NotFound, ProtocolError, TimedOut, Unavailable
from rune.protocol.modern import CAPABILITIES_KEY, CLIENT_KEY, VERSION_KEY
from rune.request import Result
from tests.client.fakes import DISCOVERED, Carried, Message, Notes, Wires, ask, call, connection, legacy, modern

DEADLINE = 30.0


async def bounded(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


# --- which era -------------------------------------------------------------------------------------------------------


async def test_a_server_that_can_be_discovered_is_modern():
    peer, wires = connection(modern())
    async with peer:
        assert peer.era.revision == "2026-07-28"
        assert not peer.legacy
        assert peer.discovered["instructions"] == "be kind"
    assert wires.last.methods() == ["server/discover"]
    assert wires.last.closed


@pytest.mark.parametrize("code", [-32601, -32602, -32600, -32000, 0, 12345])
async def test_any_other_error_means_an_older_server(code):
    peer, wires = connection(legacy(code=code))
    async with peer:
        assert peer.legacy
    assert wires.last.methods() == ["server/discover", "initialize", "notifications/initialized"]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_older_revision_is_accepted(revision):
    peer, _ = connection(legacy(revision=revision))
    async with peer:
        assert peer.era.revision == revision


@pytest.mark.parametrize(
    ("server", "wanted", "methods"),
    [
        (modern(), "2026-07-28", ["server/discover"]),
        (legacy(revision="2025-06-18"), "2025-06-18", ["initialize", "notifications/initialized"]),
    ],
)
async def test_a_settled_revision_is_spoken_and_no_other_tried(server, wanted, methods):
    peer, wires = connection(server)
    peer.revision = wanted
    async with peer:
        assert peer.era.revision == wanted
    assert wires.last.methods() == methods
    if wanted != "2026-07-28":
        assert wires.last.heard[0]["params"]["protocolVersion"] == wanted


@pytest.mark.parametrize(
    ("server", "wanted", "message"),
    [
        (legacy(), "2026-07-28", "fake: does not speak 2026-07-28$"),
        (legacy(revision="2024-11-05"), "2025-11-25", "fake: does not speak 2025-11-25 but 2024-11-05$"),
    ],
)
async def test_a_server_that_does_not_speak_the_settled_revision_is_not_used(server, wanted, message):
    peer, wires = connection(server)
    peer.revision = wanted
    with pytest.raises(Unavailable, match=message):
        await peer.__aenter__()
    assert wires.last.closed


async def test_an_unknown_revision_in_the_handshake_is_an_error_that_names_it():
    peer, wires = connection(legacy(revision="1999-01-01"))
    with pytest.raises(Unavailable, match=r"fake: .*1999-01-01"):
        await peer.__aenter__()
    assert wires.last.closed


async def test_a_server_that_does_not_answer_the_probe_gets_the_handshake(monkeypatch):
    monkeypatch.setattr("rune.client.client.PROBE_TIMEOUT", 0.05)
    old = legacy()

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") != "server/discover":
            old(carried, message)

    peer, _ = connection(serve)
    async with peer:
        assert peer.legacy


async def test_a_slow_modern_server_that_refuses_the_handshake_is_discovered_again(monkeypatch):
    monkeypatch.setattr("rune.client.client.PROBE_TIMEOUT", 0.05)
    probes = []

    def serve(carried: Carried, message: Message) -> None:
        if message["method"] == "server/discover":
            probes.append(message)
            if len(probes) > 1:
                carried.answer(message, DISCOVERED)
        elif message["method"] == "initialize":
            carried.refuse(message, -32022, data={"supported": ["2026-07-28"]})

    peer, _ = connection(serve)
    async with peer:
        assert not peer.legacy


async def test_an_old_server_that_ends_itself_at_the_probe_is_started_again_for_the_handshake():
    old = legacy()

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "server/discover":
            carried.die("exited 1 after 0.0 s")
        else:
            old(carried, message)

    peer, wires = connection(serve)
    async with peer:
        assert peer.legacy
        assert len(wires.made) == 2
    assert [carried.closed for carried in wires.made] == [True, True]


async def test_unsupported_version_is_tried_again_when_ours_is_in_the_list():
    answers = []

    def serve(carried: Carried, message: Message) -> None:
        answers.append(message)
        if len(answers) == 1:
            carried.refuse(message, -32022, data={"supported": ["2026-07-28"], "requested": "2026-07-28"})
        else:
            carried.answer(message, DISCOVERED)

    peer, wires = connection(serve)
    async with peer:
        assert not peer.legacy
    assert wires.last.heard[0]["id"] != wires.last.heard[1]["id"]


async def test_no_revision_in_common_is_an_error():
    peer, _ = connection(lambda carried, message: carried.refuse(message, -32022, data={"supported": ["2031-01-01"]}))
    with pytest.raises(Unavailable, match="fake"):
        await peer.__aenter__()


async def test_a_modern_error_with_older_versions_leads_to_the_handshake():
    old = legacy()

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "server/discover":
            carried.refuse(message, -32022, data={"supported": ["2025-06-18"]})
        else:
            old(carried, message)

    peer, _ = connection(serve)
    async with peer:
        assert peer.legacy


async def test_a_server_that_refuses_both_eras_is_an_error_with_its_own_words():
    peer, _ = connection(lambda carried, message: carried.refuse(message, -32603, "out of order"))
    with pytest.raises(Unavailable, match="fake: refused the handshake: out of order"):
        await peer.__aenter__()


# --- what goes out ---------------------------------------------------------------------------------------------------


def echo(carried: Carried, message: Message) -> None:
    if "id" in message:
        carried.answer(message, {"resultType": "complete", "content": [], "params": message["params"]})


async def test_a_modern_request_carries_the_caller_s_capabilities_and_our_name():
    peer, wires = connection(modern(echo), identity={"name": "gate", "version": "9"})
    async with peer:
        foreign = {"traceparent": "00-1", "vendor/x": [1], CLIENT_KEY: {"name": "evil", "version": "0"}}
        request = ask("tools/call", {"name": "t", "_meta": foreign}, capabilities={"sampling": {}}, log="debug")
        await bounded(peer.handle(request))
    meta = wires.last.heard[-1]["params"]["_meta"]
    assert meta[VERSION_KEY] == "2026-07-28"
    assert meta[CAPABILITIES_KEY] == {"sampling": {}}
    assert meta[CLIENT_KEY] == {"name": "gate", "version": "9"}
    assert meta["io.modelcontextprotocol/logLevel"] == "debug"
    assert meta["traceparent"] == "00-1"
    assert meta["vendor/x"] == [1]
    assert "progressToken" not in meta


async def test_an_older_server_gets_nothing_of_the_new_envelope():
    peer, wires = connection(legacy(echo))
    async with peer:
        request = ask("tools/call", {"name": "t", "_meta": {VERSION_KEY: "2026-07-28", "traceparent": "00-1"}})
        await bounded(peer.handle(request))
        await bounded(peer.handle(ask("tools/call", {"name": "t", "_meta": {VERSION_KEY: "2026-07-28"}})))
    assert wires.last.heard[-2]["params"] == {"name": "t", "_meta": {"traceparent": "00-1"}}
    assert wires.last.heard[-1]["params"] == {"name": "t"}


async def test_answers_and_state_travel_back_as_they_came():
    state = "opaque ✓ \\ state"

    def serve(carried: Carried, message: Message) -> None:
        if "inputResponses" in message["params"]:
            carried.answer(message, {"resultType": "complete", "content": [], "seen": message["params"]})
        else:
            question = {"method": "roots/list"}
            asked = {"resultType": "input_required", "inputRequests": {"k": question}, "requestState": state, "x": 1}
            carried.answer(message, asked)

    peer, _ = connection(modern(serve))
    async with peer:
        first = await bounded(peer.handle(call(capabilities={"roots": {}})))
        assert first.kind == "input_required"
        assert first.state == {"fake": state}
        assert "requestState" not in first.value
        assert first.value["x"] == 1
        retry = call(capabilities={"roots": {}})
        retry.answers, retry.state = {"k": msgspec.Raw(b'{"roots":[]}')}, first.state
        second = await bounded(peer.handle(retry))
    assert second.value["seen"]["requestState"] == state
    assert second.value["seen"]["inputResponses"] == {"k": {"roots": []}}


async def test_a_retry_without_state_sends_none():
    peer, wires = connection(modern(echo))
    async with peer:
        retry = call()
        retry.answers = {"k": msgspec.Raw(b"{}")}
        await bounded(peer.handle(retry))
    assert "requestState" not in wires.last.heard[-1]["params"]


# --- what comes back -------------------------------------------------------------------------------------------------


async def test_a_result_comes_through_byte_for_byte():
    raw = b'{"resultType":"complete", "content":[ ],"n":1.0,"big":123456789012345678901234567890,"u":"\\u00e9\xc3\xa9"}'
    server = modern(
        lambda carried, message: carried.say(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (message["id"], raw))
    )
    peer, _ = connection(server)
    async with peer:
        result = await bounded(peer.handle(call()))
    assert result.raw == raw
    assert result.kind == "complete"


async def test_a_missing_result_type_means_complete():
    peer, _ = connection(modern(lambda carried, message: carried.answer(message, {"content": []})))
    async with peer:
        result = await bounded(peer.handle(call()))
    assert result.value == {"content": [], "resultType": "complete"}


async def test_a_word_in_the_text_is_no_kind():
    value = {"content": [{"type": "text", "text": 'input_required "task"'}], "resultType": "complete"}
    peer, _ = connection(modern(lambda carried, message: carried.answer(message, value)))
    async with peer:
        assert (await bounded(peer.handle(call()))).kind == "complete"


async def test_a_task_keeps_its_kind():
    value = {"taskId": "1", "status": "working", "resultType": "task"}
    peer, _ = connection(modern(lambda carried, message: carried.answer(message, value)))
    async with peer:
        result = await bounded(peer.handle(call()))
    assert (result.kind, result.value) == ("task", value)


async def test_an_older_result_is_made_modern():
    def serve(carried: Carried, message: Message) -> None:
        carried.answer(message, {"tools": [{"name": "t", "inputSchema": {"type": "object"}, "x": {"y": 1}}], "z": None})

    peer, _ = connection(legacy(serve))
    async with peer:
        value = (await bounded(peer.handle(ask("tools/list")))).value
    assert value["resultType"] == "complete"
    assert (value["ttlMs"], value["cacheScope"]) == (0, "private")
    assert value["tools"][0]["x"] == {"y": 1}
    assert value["z"] is None


@pytest.mark.parametrize("make", [modern, legacy])
async def test_an_error_comes_through_as_it_was_said(make):
    peer, _ = connection(make(lambda carried, message: carried.refuse(message, 4711, "so what", {"a": [1]})))
    async with peer:
        with pytest.raises(ProtocolError, match="so what") as caught:
            await bounded(peer.handle(call()))
    assert (caught.value.code, caught.value.data) == (4711, {"a": [1]})


async def test_a_missing_resource_is_not_found_in_both_eras():
    new, _ = connection(modern(lambda carried, message: carried.refuse(message, -32602, "none")))
    old, _ = connection(legacy(lambda carried, message: carried.refuse(message, -32002, "none", {"uri": "x:y"})))
    for peer in (new, old):
        async with peer:
            with pytest.raises(NotFound) as caught:
                await bounded(peer.handle(ask("resources/read", {"uri": "x:y"})))
            assert caught.value.data == {"uri": "x:y"}


@pytest.mark.parametrize("make", [modern, legacy])
@pytest.mark.parametrize("result", [[], 5, "text", None])
async def test_a_result_that_is_no_object_is_an_error(make, result):
    peer, _ = connection(make(lambda carried, message: carried.answer(message, result)))
    async with peer:
        with pytest.raises(Lost, match="fake: answered tools/call"):
            await bounded(peer.handle(call()))


@pytest.mark.parametrize("error", [{}, {"code": "x", "message": 1}, [], {"code": 1}])
async def test_a_malformed_error_is_still_an_error(error):
    peer, _ = connection(modern(lambda carried, message: carried.say({"id": message["id"], "error": error})))
    async with peer:
        with pytest.raises(ProtocolError, match="malformed error"):
            await bounded(peer.handle(call()))


async def test_an_answer_that_is_no_json_rpc_fails_its_call_at_once():
    server = modern(lambda carried, message: carried.say(b'{"jsonrpc":"2.0","id":%d}' % message["id"]))
    peer, _ = connection(server)
    async with peer:
        with pytest.raises(Lost, match="no JSON-RPC"):
            await bounded(peer.handle(call()))


async def test_noise_on_stdout_harms_nothing():
    def serve(carried: Carried, message: Message) -> None:
        for noise in (
            b"Server started!",
            b"{",
            b"[]",
            b"[1]",
            b"null",
            b'{"jsonrpc":"2.0","id":{},"result":{}}',
            b"\xff",
        ):
            carried.say(noise)
        carried.say({"id": 999, "result": {}})
        carried.say({"method": "notifications/progress", "params": 5})
        carried.say({"method": "notifications/message", "params": [1]})
        carried.answer(message, {"resultType": "complete", "content": []})

    for make in (modern, legacy):
        peer, _ = connection(make(serve))
        async with peer:
            assert (await bounded(peer.handle(call(log="debug")))).kind == "complete"


async def test_a_batch_is_taken_apart():
    def serve(carried: Carried, message: Message) -> None:
        token = message["params"]["_meta"]["progressToken"]
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}
        carried.say(json.dumps([note, {"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}]).encode())

    peer, _ = connection(legacy(serve, revision="2025-03-26"))
    async with peer:
        notes = Notes()
        await bounded(peer.handle(call(token="mine", emit=notes)))
    assert notes.params == [{"progressToken": "mine", "progress": 1}]


# --- notes of a call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [modern, legacy])
async def test_two_callers_with_one_token_each_get_their_own_progress(make):
    waiting: list[Message] = []

    def serve(carried: Carried, message: Message) -> None:
        waiting.append(message)
        if len(waiting) < 2:
            return
        for number, entry in enumerate(waiting):
            token = entry["params"]["_meta"]["progressToken"]
            params = {"progressToken": token, "progress": number, "message": entry["params"]["name"], "extra": None}
            carried.say({"method": "notifications/progress", "params": params})
        for entry in waiting:
            carried.answer(entry, {"resultType": "complete", "content": []})
            token = entry["params"]["_meta"]["progressToken"]
            carried.say({"method": "notifications/progress", "params": {"progressToken": token, "progress": 9}})

    peer, _ = connection(make(serve))
    one, two = Notes(), Notes()
    async with peer:
        await bounded(
            asyncio.gather(
                peer.handle(call("one", token="same", emit=one)), peer.handle(call("two", token="same", emit=two))
            )
        )
    assert one.params == [{"progressToken": "same", "progress": 0, "message": "one", "extra": None}]
    assert two.params == [{"progressToken": "same", "progress": 1, "message": "two", "extra": None}]


async def test_progress_that_nobody_asked_for_is_dropped():
    def serve(carried: Carried, message: Message) -> None:
        carried.say({"method": "notifications/progress", "params": {"progressToken": message["id"], "progress": 1}})
        carried.answer(message, {"resultType": "complete", "content": []})

    peer, _ = connection(modern(serve))
    notes = Notes()
    async with peer:
        await bounded(peer.handle(call(emit=notes)))
    assert notes.notes == []


def talkative(carried: Carried, message: Message) -> None:
    if message["method"] == "logging/setLevel":
        carried.answer(message, {})
        return
    for level in ("debug", "warning"):
        carried.say({"method": "notifications/message", "params": {"level": level, "data": level}})
    carried.answer(message, {"resultType": "complete", "content": []})


async def test_log_lines_of_an_older_server_follow_the_level_of_each_call():
    peer, wires = connection(legacy(talkative))
    async with peer:
        calm, loud, silent = Notes(), Notes(), Notes()
        await bounded(peer.handle(call(log="warning", emit=calm)))
        await bounded(peer.handle(call(log="debug", emit=loud)))
        await bounded(peer.handle(call(log="error")))
        await bounded(peer.handle(call(emit=silent)))
    levels = [message["params"]["level"] for message in wires.last.heard if message.get("method") == "logging/setLevel"]
    assert levels == ["warning", "debug"]
    assert [entry["level"] for entry in calm.params] == ["warning"]
    assert [entry["level"] for entry in loud.params] == ["debug", "warning"]
    assert silent.notes == []


async def test_a_log_line_between_two_calls_belongs_to_nobody():
    waiting: list[Message] = []

    def serve(carried: Carried, message: Message) -> None:
        waiting.append(message)
        if len(waiting) == 2:
            carried.say({"method": "notifications/message", "params": {"level": "error", "data": "whose?"}})
            for entry in waiting:
                carried.answer(entry, {"resultType": "complete", "content": []})

    peer, _ = connection(modern(serve))
    one, two = Notes(), Notes()
    async with peer:
        await bounded(
            asyncio.gather(peer.handle(call(log="debug", emit=one)), peer.handle(call(log="debug", emit=two)))
        )
    assert one.notes == two.notes == []


# --- the end of a call -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [modern, legacy])
async def test_a_cancelled_call_is_cancelled_at_the_server(make):
    heard = asyncio.Event()

    def serve(carried: Carried, message: Message) -> None:
        heard.set()

    peer, wires = connection(make(serve))
    async with peer:
        task = asyncio.create_task(peer.handle(call()))
        await bounded(heard.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        sent = wires.last.heard[-1]
    assert sent["method"] == "notifications/cancelled"
    assert sent["params"]["requestId"] == wires.last.heard[-2]["id"]


async def test_a_call_ends_at_its_deadline_and_is_cancelled():
    peer, wires = connection(modern())
    async with peer:
        request = call()
        request.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(TimedOut, match="fake: no answer to tools/call"):
            await bounded(peer.handle(request))
        assert wires.last.methods()[-1] == "notifications/cancelled"
        assert not peer._calls.flying


async def test_without_a_deadline_the_timeout_of_the_connection_holds():
    peer, _ = connection(modern(), timeout=0.05)
    async with peer:
        with pytest.raises(TimedOut):
            await bounded(peer.handle(call()))


async def test_a_server_that_reads_nothing_is_not_written_to_without_end():
    peer, wires = connection(modern(echo), timeout=0.05)
    async with peer:
        wires.last.full = True
        with pytest.raises(TimedOut, match="does not read"):
            await bounded(peer.handle(call()))
        assert wires.last.methods() == ["server/discover"]


async def test_the_death_of_the_server_ends_all_calls_with_its_last_words():
    def serve(carried: Carried, message: Message) -> None:
        carried.last_words = ["one", "two", "three", "JIRA_API_TOKEN not set"]
        carried.die()

    gone = []
    peer, _ = connection(modern(serve))
    peer.on_lost = lambda: gone.append(True)
    async with peer:
        results = await bounded(asyncio.gather(peer.handle(call()), peer.handle(call()), return_exceptions=True))
        assert gone == [True]
        with pytest.raises(Lost) as after:
            await peer.handle(call())
    assert not after.value.sent
    for error in results:
        assert isinstance(error, Lost)
        assert error.sent
        lines = str(error).split("\n")
        assert lines[0] == "fake: exited 1 after 0.4 s"
        assert lines[-1] == "  stderr: JIRA_API_TOKEN not set"
        assert len(lines) <= 4


# --- listen ----------------------------------------------------------------------------------------------------------


async def test_a_modern_listen_gets_its_notes_without_the_id_of_the_server():
    def serve(carried: Carried, message: Message) -> None:
        if message["method"] != "subscriptions/listen":
            return
        mark = {"io.modelcontextprotocol/subscriptionId": message["id"]}
        wanted = message["params"]["notifications"]
        ack = {"notifications": wanted, "_meta": mark}
        carried.say({"method": "notifications/subscriptions/acknowledged", "params": ack})
        carried.say({"method": "notifications/tools/list_changed", "params": {"_meta": mark | {"k": 1}}})
        carried.say({"method": "notifications/resources/updated", "params": {"uri": "x:1", "_meta": mark}})
        carried.say({"method": "notifications/tools/list_changed", "params": {}})
        carried.answer(message, {"resultType": "complete", "_meta": mark})

    peer, _ = connection(modern(serve))
    notes = Notes()
    async with peer:
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["x:1"]}
        result = await bounded(peer.handle(ask("subscriptions/listen", {"notifications": wanted}, emit=notes)))
    assert isinstance(result, Result)
    assert [note.method.rsplit("/", 1)[1] for note in notes.notes] == ["acknowledged", "list_changed", "updated"]
    assert notes.params[1:] == [{"_meta": {"k": 1}}, {"uri": "x:1"}]


async def test_a_listen_at_an_older_server_is_counted_subscriptions():
    def serve(carried: Carried, message: Message) -> None:
        if message.get("method", "").startswith("resources/"):
            carried.answer(message, {})

    peer, wires = connection(legacy(serve))

    async def listen(uris: list[str], emit: Notes) -> asyncio.Task[Result]:
        request = ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}}, emit=emit)
        task = asyncio.create_task(peer.handle(request))
        await bounded(emit.came.wait())
        return task

    async with peer:
        one, two = Notes(), Notes()
        first = await listen(["x:1", "x:2"], one)
        second = await listen(["x:1"], two)
        wires.last.say({"method": "notifications/resources/updated", "params": {"uri": "x:1"}})
        wires.last.say({"method": "notifications/resources/updated", "params": {"uri": "x:2"}})
        assert [params.get("uri") for params in one.params[1:]] == ["x:1", "x:2"]
        assert [params.get("uri") for params in two.params[1:]] == ["x:1"]
        for task in (first, second):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(DEADLINE):
            while wires.last.methods().count("resources/unsubscribe") < 2:
                await asyncio.sleep(0)
    subscribed = [m["params"]["uri"] for m in wires.last.heard if m.get("method") == "resources/subscribe"]
    dropped = [m["params"]["uri"] for m in wires.last.heard if m.get("method") == "resources/unsubscribe"]
    assert sorted(subscribed) == sorted(dropped) == ["x:1", "x:2"]


async def test_what_an_older_server_says_unasked_reaches_the_one_who_keeps_it():
    notes = []
    peer, wires = connection(legacy())
    peer.on_note = notes.append
    async with peer:
        wires.last.say({"method": "notifications/tools/list_changed"})
    assert [note.method for note in notes] == ["notifications/tools/list_changed"]


async def test_a_wire_that_cannot_be_opened_says_why():
    wires = Wires(modern())
    peer = connection(modern())[0]
    peer._wire._carrier.refuses_to_start = True
    with pytest.raises(Unavailable, match="command not found"):
        await peer.__aenter__()
    assert wires.made == []
