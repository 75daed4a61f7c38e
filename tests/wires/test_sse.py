"""The event stream: the standard's rules one by one, any cut of the bytes, and the way there and back."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import RuneError
from rune.wires import sse
from rune.wires.sse import Event, Parser


def parse(*chunks: bytes) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event("message", b"a")]),
        (b"data:a\n\n", [Event("message", b"a")]),
        (b"data:  a\n\n", [Event("message", b" a")]),
        (b"data: a\r\n\r\n", [Event("message", b"a")]),
        (b"data: a\r\r", [Event("message", b"a")]),
        (b"data: a\n\r\ndata: b\r\n\n", [Event("message", b"a"), Event("message", b"b")]),
        (b"data: a\r\n\rdata: b\n\n", [Event("message", b"a"), Event("message", b"b")]),
        (b"data: a\ndata: b\n\n", [Event("message", b"a\nb")]),
        (b"data\ndata\n\n", [Event("message", b"\n")]),
        (b"data:\n\n", [Event("message", b"")]),
        (b"data\n\n", [Event("message", b"")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [Event("x", b"a"), Event("message", b"b")]),
        (b"event:\ndata: a\n\n", [Event("message", b"a")]),
        (b"event: x\n\ndata: a\n\n", [Event("message", b"a")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [Event("message", b"a", "7"), Event("message", b"b", "7")]),
        (b"id: 7\n\ndata: a\n\n", [Event("message", b"a", "7")]),
        (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [Event("message", b"a", "7"), Event("message", b"b")]),
        (b"id: 7\nid: 8\x009\ndata: a\n\n", [Event("message", b"a", "7")]),
        (b"retry: 50\ndata: a\n\ndata: b\n\n", [Event("message", b"a", None, 50), Event("message", b"b")]),
        (b"retry: 5x\nretry: -5\nretry:\nretry: 1.5\ndata: a\n\n", [Event("message", b"a")]),
        (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event("message", b"a")]),
        (b": comment\ndata: a\n:\n\n", [Event("message", b"a")]),
        (b":\n\n\n\n", []),
        (b"foreign: 1\nDATA: 2\n data: 3\ndata: a\n\n", [Event("message", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("message", b"a")]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a:b: c\n\n", [Event("message", b"a:b: c")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
        (b"event: \xff\ndata: \xff\n\n", [Event("\ufffd", b"\xff")]),
        ("data: \u2028\u0085x\n\n".encode(), [Event("message", "\u2028\u0085x".encode())]),
        (b"data: \x0b\x0c\x1c\x1e\n\n", [Event("message", b"\x0b\x0c\x1c\x1e")]),
    ],
)
def test_the_rules_of_the_standard(stream, events):
    assert parse(stream) == events
    assert parse(*(stream[place : place + 1] for place in range(len(stream)))) == events


_pieces = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\n\n", b":", b" ", b"data", b"data: ", b"event: x", b"id: ", b"id: 1", b"retry: 9",
     b"\xef\xbb\xbf", b"\0", b"a", b"{}", b"\xc3"]
)  # fmt: skip
_streams = st.lists(_pieces, max_size=30).map(b"".join) | st.binary()


@given(_streams, st.lists(st.integers(0, 100), max_size=8))
def test_any_cut_gives_the_same_events(stream, cuts):
    places = sorted({0, *(cut % (len(stream) + 1) for cut in cuts), len(stream)})
    chunks = [stream[start:end] for start, end in pairwise(places)]
    whole, cut = Parser(), Parser()
    events = whole.feed(stream)
    assert [event for chunk in chunks for event in (*cut.feed(chunk), *cut.feed(b""))] == events
    assert (cut.last_id, cut.retry) == (whole.last_id, whole.retry)


def by_the_book(stream: bytes) -> list[Event]:
    """The standard's algorithm, word for word, without regard to time."""
    text = stream.removeprefix(b"\xef\xbb\xbf")
    lines = re.split(rb"\r\n|\r|\n", text)[:-1]
    events: list[Event] = []
    data, kind, last, retry = b"", b"", b"", None
    for line in lines:
        if line == b"":
            if data:
                shown = (part.decode("utf-8", "replace") for part in (kind, last))
                name, identity = shown
                events.append(Event(name or "message", data.removesuffix(b"\n"), identity or None, retry))
            data, kind, retry = b"", b"", None
            continue
        if line.startswith(b":"):
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            kind = value
        elif field == b"data":
            data += value + b"\n"
        elif field == b"id" and b"\0" not in value:
            last = value
        elif field == b"retry" and re.fullmatch(rb"[0-9]+", value):
            retry = int(value)
    return events


@given(_streams)
def test_the_parser_does_what_the_standard_says(stream):
    assert parse(stream) == by_the_book(stream)


_fields = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs",)), min_size=1)


@given(st.binary(), st.none() | _fields, st.none() | _fields, st.none() | st.integers(0, 10**14))
def test_an_event_survives(data, identity, event, retry):
    stream = sse.encode(data, id=identity, event=event, retry=retry)
    expected = re.sub(rb"\r\n|\r", b"\n", data)
    assert parse(stream) == [Event(event or "message", expected, identity, retry)]


@given(st.lists(st.binary(), max_size=5))
def test_events_and_comments_in_a_row(items):
    stream = b"".join(sse.encode(item) + sse.COMMENT for item in items)
    assert [event.data for event in parse(stream)] == [re.sub(rb"\r\n|\r", b"\n", item) for item in items]


def test_what_is_written():
    assert sse.encode(b"{}") == b"data: {}\n\n"
    assert sse.encode(b"{}", id="1", event="x", retry=5) == b"event: x\nid: 1\nretry: 5\ndata: {}\n\n"
    assert sse.encode(b"a\nb\r\nc\r") == b"data: a\ndata: b\ndata: c\ndata: \n\n"
    assert sse.encode(b"", id="p") == b"id: p\ndata: \n\n"


@pytest.mark.parametrize("field", ["a\nb", "a\r", "\0"])
def test_a_field_cannot_smuggle_lines(field):
    with pytest.raises(ValueError, match="must not hold"):
        sse.encode(b"", id=field)
    with pytest.raises(ValueError, match="must not hold"):
        sse.encode(b"", event=field)


def test_an_id_counts_only_with_its_whole_event():
    parser = Parser()
    parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert parser.last_id == "1"
    parser.feed(b"\n")
    assert parser.last_id == "2"


def test_an_event_without_data_still_sets_id_and_retry():
    parser = Parser()
    assert parser.feed(b"id: 5\nretry: 10\n\n") == []
    assert (parser.last_id, parser.retry) == ("5", 10)


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"a" * 200],
        [b"data: a\n"] * 30,
        [b"a"] * 200,
        [b":" + b"a" * 200],
        [b"event: x\ndata: " + b"a" * 94, b"\n"],
    ],
)
def test_an_event_that_is_too_large(chunks):
    parser = Parser(max_event=100)
    with pytest.raises(RuneError, match="larger than 100 bytes"):
        list(map(parser.feed, chunks))


def test_comments_do_not_add_up():
    parser = Parser(max_event=100)
    for _ in range(100):
        assert parser.feed(b": keep-alive\nid: 1\nevent: x\n") == []
    assert parser.feed(b"data: a\n\n") == [Event("x", b"a", "1")]


def test_many_small_events_are_not_one_large_one():
    parser = Parser(max_event=100)
    assert len(parser.feed(b"data: a\n\n" * 100)) == 100
    assert len([event for _ in range(100) for event in parser.feed(b"data: a\n\n")]) == 100


def test_a_large_event_in_many_chunks_takes_linear_time():
    parser = Parser()
    body = b"x" * 64
    assert parser.feed(b"data: ") == []
    for _ in range(50_000):
        assert parser.feed(body) == []
    (event,) = parser.feed(b"\n\n")
    assert len(event.data) == 64 * 50_000
