"""What waits for a slow client: bounded, and never at the cost of what must arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.wires import queue
from rune.wires.queue import FrameQueue

topics = st.sampled_from(["", "a", "b", "c"])
frames = st.lists(st.tuples(st.binary(max_size=30), topics), max_size=60)


@pytest.fixture(autouse=True, scope="module")
def small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "LIMIT", 8)
        patch.setattr(queue, "BYTES", 100)
        yield


@given(frames)
def test_order_and_bounds(pushed: list[tuple[bytes, str]]) -> None:
    waiting = FrameQueue()
    for frame, topic in pushed:
        waiting.push(frame, topic)
    kept = []
    while (frame := waiting.pop()) is not None:
        kept.append(frame)
    assert len(waiting) == 0
    assert waiting.pop() is None
    must = [frame for frame, topic in pushed if not topic]
    # All that must arrive does, in its order, and everything kept is in the order of the pushes.
    rest = iter(kept)
    assert all(frame in rest for frame in must)
    rest = iter(frame for frame, _ in pushed)
    assert all(frame in rest for frame in kept)
    assert len(pushed) - len(kept) == waiting.dropped
    notes = len(kept) - len(must)
    assert notes <= 8 or len(kept) <= 8


def test_the_newest_of_a_topic_takes_the_place_of_the_one_before() -> None:
    waiting = FrameQueue()
    for number in range(8):
        waiting.push(b"%d" % number, f"t{number}")
    waiting.push(b"new", "t3")
    waiting.push(b"lost", "unheard of")
    waiting.push(b"must", "")
    assert waiting.dropped == 2
    assert waiting.drain() == [b"0", b"1", b"2", b"4", b"5", b"6", b"7", b"new", b"must"]
    assert waiting.drain() == []


def test_bytes_count_too() -> None:
    waiting = FrameQueue()
    waiting.push(b"x" * 90, "a")
    waiting.push(b"y" * 90, "a")
    waiting.push(b"z" * 90, "b")
    assert waiting.drain() == [b"y" * 90]
    # One that is larger than all the room there is still goes out when nothing waits.
    waiting.push(b"x" * 900, "a")
    assert waiting.pop() == b"x" * 900
