"""One connection, byte by byte: it reads what aiohttp reads, and refuses what two readers could read differently."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rune.errors import Unavailable
from rune.net.http1 import HIGH_WATER, MAX_HEAD, MAX_HEADS, TOGETHER
from rune.net.policy import Limits, Room
from rune.net.response import Cut
from tests.net.wires import Pipe, Wire, answer, raw, read

# --- as others read it -----------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
NAMES = st.sampled_from(["X-One", "x-two", "Mcp-Session-Id", "WWW-Authenticate", "Set-Cookie", "Retry-After"])
TYPES = st.sampled_from([None, "application/json", "text/event-stream", "Text/Plain; charset=utf-8"])
EARLY = ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"]
STATUSES = st.sampled_from([200, 200, 201, 202, 204, 304, 400, 401, 404, 500, 503])


@st.composite
def responses(draw):
    """The bytes of one response, in any framing that HTTP/1.x has, and whether it ends with the connection."""
    status = draw(STATUSES)
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    body = draw(st.binary(max_size=300))
    lines = [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(NAMES, TEXT), max_size=4))]
    kind = draw(TYPES)
    if kind:
        lines.append(f"Content-Type: {kind}")
    packed = draw(st.sampled_from([None, None, "gzip", "deflate"]))
    framing = draw(st.sampled_from(["length", "chunked", "close"] if version == "1.1" else ["length", "close"]))
    if status in (204, 304):
        body, framing, packed = b"", "none", None
    if packed:
        lines.append(f"Content-Encoding: {packed}")
        body = gzip.compress(body) if packed == "gzip" else zlib.compress(body)
    close = framing == "close" or draw(st.booleans())
    if close:
        lines.append("Connection: close")
    wire = body
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        wire = chunked(draw, body)
    draw(st.randoms(use_true_random=False)).shuffle(lines)
    head = "".join(f"{line}\r\n" for line in lines)
    early = "".join(draw(st.lists(st.sampled_from(EARLY), max_size=2)))
    return f"{early}HTTP/{version} {status} Why\r\n{head}\r\n".encode() + wire, close or version == "1.0"


def chunked(draw, body):
    out, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        extension = draw(st.sampled_from([b"", b";a=b"]))
        out += b"%x%b\r\n%b\r\n" % (size, extension, rest[:size])
        rest = rest[size:]
    return out + b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"])) + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(marks)]


@pytest.fixture(scope="module")
def others():
    """What aiohttp reads from a server that says these bytes."""
    with asyncio.Runner() as runner:
        said = []

        async def say(site, reader, writer):
            await site.request(reader)
            writer.write(said[-1])
            await writer.drain()

        async def ask(url):
            async with aiohttp.ClientSession(auto_decompress=True) as session, session.get(url) as response:
                return response.status, response.headers.copy(), response.content_type, await response.read()

        server = raw(say)
        site = runner.run(server.__aenter__())

        def look(data):
            said.append(data)
            return runner.run(ask(site.url))

        yield runner, look
        runner.run(server.__aexit__(None, None, None))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(responses(), st.lists(st.integers(0, 2000), max_size=12))
def test_an_answer_is_what_aiohttp_reads_however_it_is_cut(others, response, places):
    data, closes = response
    runner, look = others
    status, headers, kind, body = look(data)

    async def ours():
        wire = Wire()
        future = wire.ask()
        wire.feed(cut(data, places))
        if closes:
            wire.end()
        found, read_body = await read(future)
        assert (found.status, read_body) == (status, body)
        assert list(found.headers.items()) == [(name, value) for name, value in headers.items()]
        assert found.content_type == kind or "Content-Type" not in headers
        assert found.done
        assert bool(wire.free) is not closes
        assert bool(wire.lost) is closes

    runner.run(ours())


@given(
    st.lists(st.tuples(responses(), st.booleans()), min_size=1, max_size=4), st.lists(st.integers(0, 3000), max_size=9)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_connection_reads_one_answer_after_the_other(others, exchanges, places):
    runner, _ = others

    async def both():
        kept = Wire()
        for (data, closes), _ in exchanges:
            fresh = Wire()
            for wire in (fresh, kept):
                future = wire.ask()
                wire.feed(cut(data, places))
                if closes:
                    wire.end()
                found, body = await read(future)
                if wire is fresh:
                    wanted = found.status, found.headers, body
            assert (found.status, found.headers, body) == wanted
            if closes:
                kept = Wire()

    runner.run(both())


# --- cut off ---------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "length": (answer(b"0123456789"), b"0123456789"),
    "chunked": (CHUNKS + b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n", b"abcde"),
    "refusal": (answer(b'{"error":1}', b"Content-Type: application/json", status=b"400 No"), b'{"error":1}'),
    "stream": (
        OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"8\r\ndata: 1\n\r\n1\r\n\n\r\n0\r\n\r\n",
        b"data: 1\n\n",
    ),
    "packed": (answer(gzip.compress(b"hello", mtime=0), b"Content-Encoding: gzip"), b"hello"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_an_answer_that_is_cut_anywhere_is_an_error_and_never_a_shorter_answer(kind, error):
    data, body = WHOLE[kind]
    for end in range(len(data)):
        wire = Wire()
        future = wire.ask()
        wire.feed([data[:end]])
        wire.end(error)
        with pytest.raises(Cut, match=r"^web: the connection was lost") as caught:
            await read(future)
        assert caught.value.answered is (end > 0)
        assert wire.lost and not wire.free
    wire = Wire()
    future = wire.ask()
    wire.feed(data[index : index + 1] for index in range(len(data)))
    assert (await read(future))[1] == body
    assert wire.free and not wire.lost


async def test_a_body_without_length_ends_with_the_connection_but_not_with_an_error():
    data = b"HTTP/1.1 200 OK\r\n\r\nhello"
    wire = Wire()
    future = wire.ask()
    wire.feed([data])
    wire.end()
    assert (await read(future))[1] == b"hello"
    assert wire.lost and not wire.free
    wire = Wire()
    future = wire.ask()
    wire.feed([data])
    wire.end(ConnectionResetError())
    with pytest.raises(Cut):
        await read(future)


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two lengths that agree": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\na",
    "a length beside chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks beside a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "chunks that are not last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks of something": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "two codings": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": OK + b"Content-Length: +1\r\n\r\na",
    "a length that is none": OK + b"Content-Length: 0x1\r\n\r\na",
    "a length beyond all numbers": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 1\r\n\r\na",
    "a header without a name": OK + b": 1\r\n\r\n",
    "a NUL in a header": OK + b"X: a\0b\r\n\r\n",
    "a header that is no header": OK + b"hello\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a bare carriage return": OK + b"X: a\rContent-Length: 0\r\n\r\n",
    "a chunk size that is none": CHUNKS + b"g\r\n",
    "a negative chunk": CHUNKS + b"-1\r\n",
    "a chunk with a prefix": CHUNKS + b"0x1\r\na\r\n0\r\n\r\n",
    "an endless chunk size": CHUNKS + b"f" * 17 + b"\r\n",
    "a chunk longer than it says": CHUNKS + b"1\r\nabc\r\n0\r\n\r\n",
    "chunks with bare line feeds": CHUNKS + b"1\na\n0\n\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a preface": b"PRI * HTTP/2.0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "another protocol after all": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "an encoding nobody asked for": OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\na",
    "two types": OK + b"Content-Type: text/plain\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
    "an endless header": OK + b"X: " + b"x" * 70_000,
    "an endless name": OK + b"x" * 70_000,
    "a long header that ends": OK + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "endless headers": OK + b"X: x\r\n" * 20_000,
    "many headers that end": OK + b"X: x\r\n" * 20_000 + b"Content-Length: 0\r\n\r\n",
    "an endless reason": b"HTTP/1.1 200 " + b"x" * 70_000,
    "endless early answers": b"HTTP/1.1 103 Early\r\n\r\n" * 4000,
    "an endless trailer": CHUNKS + b"1\r\na\r\n0\r\n" + b"X: " + b"x" * 140_000,
    "an endless chunk extension": CHUNKS + b"1;" + b"x" * 140_000,
}  # fmt: skip


@pytest.mark.parametrize("size", [1 << 16, 4096, 7])
@pytest.mark.parametrize("what", REFUSED)
async def test_what_could_be_read_in_two_ways_ends_the_connection(what, size):
    data = REFUSED[what]
    if size == 7 and len(data) > 20_000:
        data = data[:20_000] if what.startswith(("an endless", "endless")) else data
    wire = Wire(Limits(header=16_000) if size == 7 else None)
    future = wire.ask()
    wire.feed(data[start : start + size] for start in range(0, len(data), size))
    wire.end()
    with pytest.raises(Unavailable, match=r"^web: "):
        await read(future)
    assert wire.lost and not wire.free


async def test_a_length_over_the_limit_is_refused_before_it_comes():
    wire = Wire(Limits(body=1000))
    future = wire.ask()
    wire.feed([OK + b"Content-Length: 1001\r\n\r\n"])
    with pytest.raises(Unavailable, match="web: the answer is longer than 1000 bytes"):
        await future
    assert wire.pipe.aborted


async def test_chunks_without_end_are_cut_at_the_limit():
    wire = Wire(Limits(body=1000))
    future = wire.ask()
    wire.feed([CHUNKS] + [b"64\r\n" + b"x" * 100 + b"\r\n"] * 11)
    with pytest.raises(Unavailable, match="web: the answer is longer than 1000 bytes"):
        await future
    assert wire.pipe.aborted


@pytest.mark.parametrize("end", ["complete", "lost", "dropped"])
async def test_answers_that_wait_for_their_rest_are_bounded_together(end):
    room = Room("web", 1000)

    def wire():
        made = Wire()
        made.connection.room = room
        return made

    first, second = wire(), wire()
    mine, theirs = first.ask(), second.ask()
    first.feed([OK + b"Content-Length: 900\r\n\r\n", b"x" * 600])
    second.feed([CHUNKS, b"12c\r\n" + b"y" * 300 + b"\r\n"])
    second.feed([b"12c\r\n" + b"y" * 300 + b"\r\n"])
    with pytest.raises(Unavailable, match="web: its unfinished answers hold more than 1000 bytes together"):
        await theirs
    assert second.pipe.aborted and not mine.done()
    if end == "complete":
        first.feed([b"x" * 300])
        assert (await read(mine))[1] == b"x" * 900
    elif end == "lost":
        first.end()
        with pytest.raises(Cut):
            await mine
    else:
        first.connection.drop()
    third = wire()
    again = third.ask()
    third.feed([OK + b"Content-Length: 1001\r\n\r\n", b"x" * 1000, b"x"])
    assert len((await read(again))[1]) == 1001, "there is all the room again"


@pytest.mark.parametrize("more", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n", answer(b"poison")])
@pytest.mark.parametrize("together", [True, False])
async def test_what_follows_an_answer_is_never_taken_for_the_next(more, together):
    wire = Wire()
    future = wire.ask()
    wire.feed([answer() + more] if together else [answer(), more])
    assert (await read(future))[1] == b"hello"
    if more != b"\r\n" or not together:
        assert wire.lost and not wire.connection.usable


async def test_who_gives_up_in_the_turn_in_which_the_answer_comes_ends_nobody_elses_exchange():
    wire = Wire()
    first = wire.ask()
    first.cancel()
    wire.feed([answer(b"one")])
    second = wire.ask()
    wire.connection.abandon(first)
    wire.feed([answer(b"two")])
    assert (await read(second))[1] == b"two"
    third = wire.ask()
    third.cancel()
    wire.connection.abandon(third)
    assert wire.pipe.aborted and wire.connection.lost


async def test_an_answer_to_no_request_ends_the_connection():
    wire = Wire()
    wire.feed([answer(b"poison")])
    assert wire.lost and wire.pipe.aborted


async def test_empty_header_values_and_odd_but_valid_heads_are_read():
    wire = Wire()
    future = wire.ask()
    wire.feed([b"HTTP/1.1 200\r\nX-Empty:\r\nX-Next:  a b \t\r\nX-Empty2: \r\ncontent-LENGTH: 2\r\n\r\nok"])
    response, body = await read(future)
    assert body == b"ok"
    assert dict(response.headers) == {"X-Empty": "", "X-Next": "a b", "X-Empty2": "", "content-LENGTH": "2"}


# --- keeping, ending, holding back -----------------------------------------------------------------------------------


async def test_an_answer_that_overtakes_its_request_ends_the_connection():
    wire = Wire()
    future = wire.ask()
    wire.pipe.unsent = 1
    wire.feed([answer(b"too large", status=b"413 Too Large")])
    assert (await read(future))[1] == b"too large"
    assert wire.pipe.aborted and wire.lost


@pytest.mark.parametrize(
    ("promise", "lifetime"), [(b"timeout=5", 4), (b"max=3, timeout=1", 0), (b"x", 60), (b"timeout=999", 60)]
)
async def test_the_time_that_a_server_keeps_connections_is_believed(promise, lifetime):
    wire = Wire()
    future = wire.ask()
    wire.feed([answer(b"", b"Keep-Alive: " + promise)])
    await read(future)
    assert wire.connection.lifetime == lifetime


async def test_the_deadline_ends_the_exchange_whether_the_head_is_there_or_not():
    wire = Wire()
    future = wire.ask()
    wire.connection.expire()
    with pytest.raises(TimeoutError):
        await future
    assert wire.lost and wire.pipe.aborted
    wire = Wire()
    future = wire.ask()
    wire.feed([OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n"])
    response = await future
    assert await response.some() == b"data: 1\n\n"
    wire.connection.expire()
    with pytest.raises(TimeoutError):
        await response.some()
    assert wire.lost


async def test_a_stream_that_is_not_read_is_held_back_and_goes_on_when_it_is():
    wire = Wire()
    future = wire.ask()
    wire.feed([OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"])
    response = await future
    piece = b"x" * 50_000
    sent = 0
    while not wire.pipe.paused:
        wire.feed([b"%x\r\n%b\r\n" % (len(piece), piece)])
        sent += len(piece)
        assert sent <= HIGH_WATER + len(piece)
    assert len(await response.some()) == sent
    assert not wire.pipe.paused
    wire.feed([b"1\r\ny\r\n0\r\n\r\n"])
    assert [await response.some(), await response.some()] == [b"y", b""]
    assert wire.free


async def test_a_stream_that_nobody_reads_to_its_end_is_closed():
    wire = Wire()
    future = wire.ask()
    wire.feed([OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n"])
    response = await future
    response.close()
    response.close()
    assert wire.pipe.aborted and wire.lost == [wire.connection]


async def test_a_packed_bomb_is_unpacked_piece_by_piece():
    bomb = gzip.compress(b"\0" * (40 << 20))
    assert len(bomb) < 60_000
    wire = Wire()
    future = wire.ask()
    wire.feed([answer(bomb, b"Content-Encoding: gzip")])
    response = await future
    assert 0 < len(await response.some()) <= 1 << 20


@pytest.mark.parametrize("body", [b"rubbish", gzip.compress(b"x" * 100, mtime=0)[:-12], b""])
async def test_what_is_packed_badly_is_an_error(body):
    wire = Wire()
    future = wire.ask()
    wire.feed([answer(body, b"Content-Encoding: gzip")])
    with pytest.raises(Unavailable, match=r"^web: not a valid HTTP answer"):
        await read(future)


async def test_a_long_body_leaves_without_a_copy_and_whole():
    wire = Wire()
    body = b"x" * (TOGETHER + 1)
    wire.connection.send(b"HEAD", body).cancel()
    assert wire.pipe.sent == b"HEAD" + body
    assert isinstance(wire.pipe, Pipe)


async def test_who_waits_is_told_when_the_connection_is_cut_by_us():
    wire = Wire()
    future = wire.ask()
    wire.connection.cut("was closed")
    with pytest.raises(Cut, match="web: was closed"):
        await future
    assert wire.lost == [wire.connection]


# --- heads that are known --------------------------------------------------------------------------------------------


def dated(body: bytes, date: int = 1, *more: bytes) -> bytes:
    return answer(body, b"Date: Wed, 25 Nov 2026 08:00:%02d GMT" % date, b"Content-Type: application/json", *more)


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 3), st.lists(st.integers(0, 300), max_size=3))))
@settings(max_examples=60, deadline=None)
def test_a_known_head_is_read_as_it_was_the_first_time(exchanges):
    async def ask():
        kept = Wire()
        for body, date, places in exchanges:
            future = kept.ask()
            kept.feed(cut(dated(body, date), places))
            response, found = await read(future)
            assert (response.status, found, response.done) == (200, body, True)
            assert response.content_type == "application/json"
            assert response.headers["content-length"] == str(len(body))
            assert response.headers["date"].endswith(f":0{date} GMT")
            assert kept.connection.usable

    asyncio.run(ask())


async def exchanged(wire, *parts):
    future = wire.ask()
    wire.feed(parts)
    return await read(future)


async def test_a_known_head_is_not_parsed_again_and_a_large_body_behind_it_is_whole():
    wire = Wire()
    await exchanged(wire, dated(b"first"))

    class Deaf:
        def feed_data(self, data):
            raise AssertionError("parsed again")

    wire.connection._parser = Deaf()
    body = b"x" * 700_000
    data = dated(body)
    _, found = await exchanged(wire, *(data[start : start + 65536] for start in range(0, len(data), 65536)))
    assert found == body
    assert (await exchanged(wire, dated(b"")))[1] == b""


@pytest.mark.parametrize(
    "data",
    [
        dated(b"hello") + b"HTTP/1.1 200 OK\r\n",
        dated(b"hello").replace(b"Length: 5", b"Length: 4"),
        dated(b"hello").replace(b"Length: 5", b"Length: 5, 5"),
        dated(b"hello").replace(b"Length: 5", b"Length: +5"),
        dated(b"hello").replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 5"),
        dated(b"hello").replace(b"Content-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        dated(b"hello").replace(b"Length: 5", b"Length: 9999999999999999999999"),
        dated(b"hello").replace(b"Length: 5", b"Length: 1001"),
    ],
)
async def test_what_is_refused_is_refused_behind_a_known_head_too(data):
    wire = Wire(Limits(body=1000))
    for _ in range(2):
        await exchanged(wire, dated(b"hello"))
    future = wire.ask()
    wire.feed([data])
    wire.end()
    try:
        assert (await read(future))[1] in (b"hello", b"hell")
    except Unavailable:
        pass
    assert not wire.connection.usable
    assert wire.lost


async def test_a_head_before_the_head_is_never_taken_for_it():
    wire = Wire()
    early = b"HTTP/1.1 103 Early\r\nContent-Length: 5\r\n\r\n"
    for _ in range(3):
        response, found = await exchanged(wire, early + dated(b"hello"))
        assert (response.status, found) == (200, b"hello")
    refused = dated(b"no").replace(b"200 OK", b"400 No")
    for _ in range(3):
        assert (await exchanged(wire, refused))[0].status == 400


async def test_only_so_many_heads_are_known():
    wire = Wire()
    for number in range(3 * MAX_HEADS):
        await exchanged(wire, answer(b"x", b"X-Number: %d" % number))
        assert len(wire.connection._heads) <= MAX_HEADS
    before = len(wire.connection._heads)
    await exchanged(wire, answer(b"x", b"X-Long: " + b"y" * MAX_HEAD))
    assert len(wire.connection._heads) == before
