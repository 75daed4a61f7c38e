"""Streams that a client loses and takes up again: what is kept, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rune.server.exchange import SseWriter
from rune.server.legacy import events
from rune.server.legacy.events import EventStream
from rune.wires.sse import Parser


class Out:
    """A client that keeps what it reads."""

    def __init__(self) -> None:
        self.data = b""
        self.begun = 0
        self.ended = asyncio.Event()

    async def respond(self, status: int, body: bytes, headers: Any = ()) -> None:
        raise AssertionError("a stream does not respond")

    async def begin(self, status: int, headers: Any) -> None:
        self.begun += 1

    async def write(self, data: bytes) -> None:
        self.data += data

    async def end(self) -> None:
        self.ended.set()

    async def gone(self) -> None:
        await asyncio.Event().wait()

    @property
    def events(self) -> list[tuple[str | None, bytes]]:
        return [(event.id, event.data) for event in Parser().feed(self.data)]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 40))
def test_whoever_comes_back_gets_the_rest_once(actions: list[int], after: int) -> None:
    """0: a frame, 1: the client goes, 2: a client comes back after the last event that it has seen."""

    async def run() -> None:
        stream = EventStream("7", priming=False)
        outs = [Out()]
        writer = SseWriter(outs[0])
        stream.attach(writer)
        pushed = 0
        seen: list[tuple[str | None, bytes]] = []
        for action in actions:
            await settled()
            if action == 0:
                stream.push(b"%d" % pushed, "")
                pushed += 1
            elif action == 1:
                stream.detach(writer)
            else:
                seen += outs[-1].events
                last = int(seen[-1][0].rpartition("-")[2]) if seen and seen[-1][0] else 0
                outs.append(Out())
                writer = SseWriter(outs[-1])
                stream.attach(writer, last)
        await settled()
        seen += outs[-1].events
        await stream.finish(b"end")
        back = Out()
        stream.attach(SseWriter(back), int(seen[-1][0].rpartition("-")[2]) if seen and seen[-1][0] else 0)
        await asyncio.wait_for(back.ended.wait(), 30)
        seen += back.events
        assert [data for _, data in seen] == [b"%d" % number for number in range(pushed)] + [b"end"]
        assert len({id for id, _ in seen}) == len(seen)
        again = Out()
        stream.attach(SseWriter(again), after)
        await asyncio.wait_for(again.ended.wait(), 30)
        assert again.events == seen[after:]

    asyncio.run(run())


async def test_what_is_kept_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "EVENTS", 5)
    monkeypatch.setattr(events, "BYTES", 400)
    stream = EventStream("0", priming=False)
    for number in range(20):
        stream.push(b"%d" % number, "")
    out = Out()
    stream.attach(SseWriter(out), 0)
    await settled()
    assert [data for _, data in out.events] == [b"15", b"16", b"17", b"18", b"19"]
    stream.push(b"x" * 1000, "")
    stream.push(b"y" * 300, "")
    stream.push(b"z" * 300, "")
    stream.detach()
    out = Out()
    stream.attach(SseWriter(out), 0)
    await settled()
    assert [data[:1] for _, data in out.events] == [b"z"]


async def test_one_client_at_a_time() -> None:
    stream = EventStream("0", priming=True)
    first, second = Out(), Out()
    one = SseWriter(first)
    stream.attach(one)
    await settled()
    assert first.data == b"id: 0-0\nretry: 500\ndata: \n\n"
    stream.attach(SseWriter(second))
    await asyncio.wait_for(first.ended.wait(), 30)
    # The one that was pushed aside cannot take the other with it.
    stream.detach(one)
    assert stream.attached
    stream.push(b"new", "")
    await settled()
    assert b"new" not in first.data
    assert b"data: new\n\n" in second.data
    await stream.finish(None)
    assert second.ended.is_set()
