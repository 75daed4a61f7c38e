"""What a client accepts, and which answers may be coded."""

from __future__ import annotations

import json

import pytest

from rune.coding import VARY, Coding, Way, preferred

OURS = ("zstd", "gzip")


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"gzip", "gzip"), (b"gzip, zstd", "zstd"), (b"GZIP;q=1.0, Zstd;q=0.5", "gzip"), (b"x-gzip", "gzip"),
        (b"*", "zstd"), (b"zstd;q=0, *", "gzip"), (b"*;q=0", None), (b"gzip;q=0", None), (b"gzip;q=0.000", None),
        (b"identity", None), (b"identity, gzip;q=0.5", None), (b"identity;q=0.5, gzip", "gzip"),
        (b"identity;q=0", None), (b"gzip, identity", "gzip"), (b"br, deflate", None), (b"br;q=1, gzip;q=0.001", "gzip"),
        (b"gzip;q=2, zstd;q=-1", None), (b"gzip;q=0.1234", None), (b"gzip;level=9", None), (b";q=1,,  ,gzip", "gzip"),
        (b"gzip ; q=0.5 , zstd ;q=0.4", "gzip"), (b"\xff\xfe, gzip", "gzip"), (b"gzip;q=0,gzip", "gzip"), (b"", None),
    ],
)  # fmt: skip
def test_what_a_client_likes_best(accepted, chosen):
    assert preferred(accepted, OURS) == chosen


def call(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


@pytest.mark.parametrize(
    ("body", "may"),
    [
        (call("tools/list"), True), (call("resources/templates/list"), True), (call("server/discover"), True),
        (call("tools/call", name="search_web"), True), (call("tools/call", name="whoami"), False),
        (call("resources/read", uri="doc://1"), True), (call("resources/read", uri="rune://results/1"), False),
        (call("prompts/get", name="search_web"), False), (call("tools/call", name=["search_web"]), False),
        (call("tools/call"), False), (call("tasks/get", taskId="1"), False), (call("initialize"), False),
        (b'{"jsonrpc":"2.0","method":"tools/list"}', False), (b"[" + call("tools/list") + b"]", False),
        (b"{", False), (b"", False), (b"\x1f\x8b\xff", False),
    ],
)  # fmt: skip
def test_which_answers_may_be_coded(body, may):
    coding = Coding({"gzip": Way(bytes, bytes)}, tools=("search_*",), resources=("doc://*",))
    assert coding.agreed([(b"host", b"a"), (b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")], body) == (
        "gzip" if may else None
    )
    assert coding.agreed([(b"host", b"gzip")], body) is None


async def test_what_gets_no_smaller_stays_as_it_is():
    coding = Coding({"gzip": Way(lambda data: data[: len(data) // 2], lambda data: b"aside")}, minimum=10)
    for name, body, made in (
        ("gzip", b"x" * 10, b"x" * 5), ("gzip", b"x" * 9, b"x" * 9), (None, b"x" * 10, b"x" * 10),
        ("gzip", b"x" * 200_000, b"aside"),
    ):  # fmt: skip
        found, headers = await coding.coded(name, body, ((b"a", b"b"),))
        assert found == made
        assert list(headers) == [(b"a", b"b"), VARY, *([(b"content-encoding", b"gzip")] if made != body else [])]
    useless = Coding({"gzip": Way(lambda data: data + b"!", bytes)}, minimum=0)
    assert (await useless.coded("gzip", b"x", ()))[0] == b"x"
