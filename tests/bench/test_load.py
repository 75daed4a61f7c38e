"""The load generator: it reads what servers send, and it notices when they lie."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import http, proc
from bench.load.connection import last_event, read_reply
from bench.load.messages import Messages, WrongAnswer
from tests.serving import ROOT

Answer = dict[str, Any]
DEADLINE = 30


def right(request: Answer) -> Answer:
    text = request["params"]["arguments"]["text"]
    return {"jsonrpc": "2.0", "id": request["id"], "result": {"content": [{"type": "text", "text": text}]}}


def wrong_text(request: Answer) -> Answer:
    return {**right(request), "result": {"content": [{"type": "text", "text": "msg-0"}]}}


def failed_tool(request: Answer) -> Answer:
    answer = right(request)
    return {**answer, "result": {**answer["result"], "isError": True}}


LIES: dict[str, Callable[[Answer], Answer]] = {
    "the id of another request": lambda request: {**right(request), "id": request["id"] + 1},
    "another text": wrong_text,
    "a tool that failed": failed_tool,
    "an error": lambda request: {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32603, "message": "no"}},
    "no content": lambda request: {**right(request), "result": {}},
    "something else": lambda request: {},
}


@asynccontextmanager
async def serving(answer: Callable[[Answer], Answer | None], status: int = 200) -> AsyncIterator[http.Target]:
    """A server that answers like this; None closes the connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                found = answer(json.loads(await reader.readexactly(length)))
                if found is None:
                    return
                body = json.dumps(found).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield http.Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp", [os.getpid()])


async def test_right_answers_are_counted_and_timed() -> None:
    async with serving(right) as target:
        found = await http.load(target, Messages(size=40), 2, 0.1)
    assert found["answered"] > 2
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["cpu_us"] > 0


@pytest.mark.parametrize("lie", LIES)
async def test_every_answer_is_checked(lie: str) -> None:
    async with serving(LIES[lie]) as target:
        with pytest.raises(WrongAnswer):
            await http.load(target, Messages(), 1, 0.1)


async def test_a_late_lie_is_noticed_too() -> None:
    def answer(request: Answer) -> Answer:
        return right(request) if request["id"] < 50 else wrong_text(request)

    async with serving(answer) as target:
        with pytest.raises(ExceptionGroup) as caught:
            await http.load(target, Messages(), 2, 5)
    assert caught.group_contains(WrongAnswer, match="not the text")


async def test_a_status_that_is_not_200_is_wrong() -> None:
    async with serving(right, status=500) as target:
        with pytest.raises(WrongAnswer, match="status 500"):
            await http.load(target, Messages(), 1, 0.1)


async def test_a_closed_connection_is_wrong() -> None:
    async with serving(lambda request: None) as target:
        with pytest.raises(WrongAnswer, match="closed the connection"):
            await http.load(target, Messages(), 1, 0.1)


@pytest.mark.parametrize(
    ("result", "right_one"),
    [
        ({"tools": [{"name": "a"}, {"name": "b"}]}, True),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, False),
        ({"tools": [{"name": "a"}, {"name": "b"}], "nextCursor": "2"}, False),
        ({"tools": []}, False),
    ],
)
def test_a_list_must_be_whole(result: Answer, right_one: bool) -> None:
    messages = Messages(method="list", tools=2)
    answer = json.dumps({"jsonrpc": "2.0", "id": 7, "result": result}).encode()
    if right_one:
        messages.check(answer, 7)
    else:
        with pytest.raises(WrongAnswer, match="tools on one page"):
            messages.check(answer, 7)


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("method", ["call", "list", "ping"])
def test_requests_are_json_with_the_members_of_their_era(era: str, method: str) -> None:
    request = json.loads(Messages(era, method).request(5))
    assert request["id"] == 5
    assert ("_meta" in request["params"]) == (era == "modern")
    assert ("arguments" in request["params"]) == (method == "call")


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=8), st.booleans(), st.data())
def test_a_response_is_read_however_it_arrives(
    body: bytes, sizes: list[int], chunked: bool, data: st.DataObject
) -> None:
    if chunked:
        rest, parts = body, b""
        for size in [*sizes, len(body)]:
            if rest:
                parts += b"%x\r\n%b\r\n" % (len(rest[:size]), rest[:size])
                rest = rest[size:]
        response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    else:
        response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    cut = data.draw(st.integers(0, len(response) - 1))
    assert read_reply(response[:cut]) is None
    reply = read_reply(response)
    assert reply is not None
    assert (reply.status, reply.body) == (200, body)


def test_the_answer_of_an_event_stream_is_its_last_data() -> None:
    stream = b'id: 1\ndata: \n\nevent: message\ndata: {"method":"x"}\n\ndata: {"id":1}\r\n\r\n: bye\n\n'
    assert last_event(stream) == b'{"id":1}'
    assert last_event(b": nothing\n\n") == b""


def test_headers_are_found_in_any_case_and_keep_their_own() -> None:
    reply = read_reply(b"HTTP/1.1 202 Accepted\r\nMcp-Session-ID: aB-9\r\nX: y\r\n\r\n")
    assert reply is not None
    assert reply.header(b"mcp-session-id") == b"aB-9"
    assert reply.header(b"x") == b"y"
    assert reply.header(b"session-id") is None


def test_cpu_time_and_memory_of_a_process_and_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    parent = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        while proc.cpu_seconds([parent.pid]) < 0.3:
            assert parent.poll() is None
        family = proc.family([parent.pid])
        assert len(family) == 2
        assert proc.rss_kb([parent.pid]) > proc.rss_kb(family - {parent.pid}) > 1000
    finally:
        os.killpg(parent.pid, 9)
        parent.wait()
    assert proc.family([2**30]) == {2**30}
    assert proc.cpu_seconds([2**30]) == proc.rss_kb([2**30]) == 0


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ('print(\'{"id":0,"result":{}}\')', "request 0"),
        ("pass", "closed its output"),
        ("print('nonsense')", "request 0"),
    ],
)
def test_a_stdio_server_that_answers_wrongly(code: str, problem: str) -> None:
    command = [sys.executable, "-m", "bench.load", "stdio", "-d", "0.1", "--", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 3
    assert problem in done.stderr
    assert done.stdout == ""
