"""Python functions as tools, prompts, resources and completions of a Server."""

from __future__ import annotations

import asyncio
import base64
import enum
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from rune.errors import ConfigError, NotFound, ProtocolError, TimedOut, ToolError, Unavailable
from rune.parking import Parking
from rune.protocol.modern import Meta
from rune.request import Caller, Note, Request, Result
from rune.source import EVERYTHING, Filter, Target
from rune.sources.content import Audio, Embedded, Image, Message, ResourceLink, Text, blocks, is_content
from rune.sources.context import Context
from rune.sources.functions import Server
from rune.sources.spool import Spool

CAN_ASK = Meta(capabilities=Raw(b'{"elicitation":{}}'))


def make(method: str, *, who: str = "ann", meta: Meta | None = None, **params: Any) -> Request:
    encoded = {key: Raw(msgspec.json.encode(value)) for key, value in params.items()}
    return Request(method, encoded, caller=Caller(who), meta=meta or Meta())


async def call(server: Server, name: str, **arguments: Any) -> dict[str, Any]:
    result = await asyncio.wait_for(server.handle(make("tools/call", name=name, arguments=arguments)), 30)
    assert result.kind == "complete"
    return result.value


def text(value: dict[str, Any]) -> str:
    found: str = value["content"][0]["text"]
    return found


async def definition(server: Server, name: str) -> dict[str, Any]:
    catalog = await server.catalog(Request("tools/list"))
    (found,) = (item.value for item in catalog.tools if item.name == name)
    return found


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server("demo", max_result=1000) as made:
        yield made


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str


class Size(enum.Enum):
    S = "small"
    L = "large"


@dataclass
class Tree:
    children: list[Tree]


# --- tools -----------------------------------------------------------------------------------------------------------


async def test_a_tool_is_a_function(server: Server) -> None:
    @server.tool
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    assert add(1, 2) == 3
    assert await definition(server, "add") == {
        "name": "add",
        "description": "Add two numbers.",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "outputSchema": {"type": "integer"},
    }
    assert await call(server, "add", a=1, b=2) == {
        "resultType": "complete",
        "content": [{"type": "text", "text": "3"}],
        "structuredContent": 3,
    }


async def test_all_that_a_definition_can_say(server: Server) -> None:
    icons = [{"src": "https://example.org/i.png"}]

    @server.tool(
        name="other.name", title="Other", description="Says it", annotations={"readOnlyHint": True}, icons=icons,
        meta={"ui": {"resourceUri": "ui://x"}}, task="optional", output_schema={"type": "object", "x-mine": 1},
    )  # fmt: skip
    async def tool() -> dict[str, Any]:
        """Not shown."""
        return {}

    assert await definition(server, "other.name") == {
        "name": "other.name", "title": "Other", "description": "Says it",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "outputSchema": {"type": "object", "x-mine": 1}, "annotations": {"readOnlyHint": True}, "icons": icons,
        "_meta": {"ui": {"resourceUri": "ui://x"}}, "execution": {"taskSupport": "optional"},
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
async def test_an_own_schema_goes_out_verbatim(extra: dict[str, Any]) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **extra,
        "type": "object",
        "unknownKeyword": [1],
    }
    server = Server()

    @server.tool(input_schema=schema)
    async def tool(**arguments: Any) -> str:
        return ""

    raw = (await server.catalog(Request("tools/list"))).tools[0].raw
    assert msgspec.json.encode(schema) in raw


@given(JSON)
async def test_json_values_come_back_as_they_went(value: Any) -> None:
    server = Server()

    @server.tool(output_schema={})
    async def echo(value: Any) -> Any:
        return value

    result = await call(server, "echo", value=value)
    if not (isinstance(value, dict) and "content" in value):
        assert result["structuredContent"] == value
        assert msgspec.json.decode(text(result)) == value


@given(st.binary(max_size=80))
async def test_whatever_the_arguments_are_there_is_an_answer(raw: bytes) -> None:
    server = Server()

    @server.tool
    async def tool(text: str = "") -> str:
        return text

    @server.tool(input_schema={"type": "object"})
    async def own(**arguments: Any) -> str:
        return ""

    for name in ("tool", "own"):
        request = Request("tools/call", {"name": Raw(msgspec.json.encode(name)), "arguments": Raw(raw)})
        code = 0
        try:
            assert (await server.handle(request)).kind == "complete"
        except ProtocolError as error:
            code = error.code
        assert code in (0, -32602)


@pytest.mark.parametrize("raw", [None, b"null", b"{}", b" {} "])
async def test_no_arguments_mean_an_empty_object(server: Server, raw: bytes | None) -> None:
    @server.tool
    async def simple(a: int = 1) -> int:
        return a

    @server.tool(execution="inline")
    def sync(a: int = 1) -> int:
        return a

    for name in ("simple", "sync"):
        request = make("tools/call", name=name)
        if raw is not None:
            request.params["arguments"] = Raw(raw)
        assert (await server.handle(request)).value["structuredContent"] == 1


async def test_bad_arguments_are_a_result_that_names_the_field(server: Server) -> None:
    @server.tool
    async def one(count: int, items: list[Point] | None = None) -> str:
        return ""

    @server.tool
    def two(count: int) -> str:
        return ""

    value = await call(server, "one", count="x")
    assert value["isError"] is True
    assert text(value) == "invalid arguments for tool one: count: expected int, got str"
    assert text(await call(server, "one", count=1, items=[{"x": 1}, {}])).endswith("items[1].x: is missing")
    assert text(await call(server, "two", coun=1)).endswith("coun: is not known")
    request = make("tools/call", name="one")
    request.params["arguments"] = Raw(b'{"count":' + b"[" * 100_000)
    assert (await server.handle(request)).value["isError"]


@pytest.mark.parametrize("raw", [b"[]", b"3", b'"x"'])
async def test_arguments_that_are_no_object_are_an_error(server: Server, raw: bytes) -> None:
    @server.tool
    async def tool() -> str:
        return ""

    request = make("tools/call", name="tool")
    request.params["arguments"] = Raw(raw)
    with pytest.raises(ProtocolError, match="must be an object"):
        await server.handle(request)


async def test_types_that_break_while_they_read(server: Server) -> None:
    class Breaks:
        @classmethod
        def model_json_schema(cls, ref_template: str, mode: str) -> dict[str, Any]:
            return {"type": "object"}

        @classmethod
        def model_validate(cls, value: Any) -> Breaks:
            raise KeyError("inside")

    def tool(value: Any) -> str:
        return ""

    tool.__annotations__["value"] = Breaks
    server.add_tool(tool)
    assert text(await call(server, "tool", value={})) == "tool tool failed: KeyError: 'inside'"


async def test_failures_are_results(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    @server.tool
    async def fails(how: str) -> str:
        match how:
            case "tool":
                raise ToolError("told so")
            case "exit":
                sys.exit(3)
            case "decode":
                msgspec.json.decode(b"{")
            case "deep":
                raise RecursionError("too deep")
            case "surrogate":
                raise ValueError("\ud800")
            case "unavailable":
                raise Unavailable("not now")
        raise ProtocolError(-32001, "an error of its own", data=1)

    with caplog.at_level(logging.DEBUG, "rune.tools"):
        assert await call(server, "fails", how="tool") == {
            "resultType": "complete", "content": [{"type": "text", "text": "told so"}], "isError": True,
        }  # fmt: skip
        assert not caplog.records
        assert text(await call(server, "fails", how="exit")) == "tool fails failed: SystemExit: 3"
        assert (
            text(await call(server, "fails", how="decode"))
            == "tool fails failed: DecodeError: Input data was truncated"
        )
        assert text(await call(server, "fails", how="deep")) == "tool fails failed: RecursionError: too deep"
        assert text(await call(server, "fails", how="surrogate")) == "tool fails failed: ValueError: ?"
        assert text(await call(server, "fails", how="unavailable")) == "tool fails failed: Unavailable: not now"
        assert all(record.exc_info for record in caplog.records)
    with pytest.raises(ProtocolError, match="of its own") as caught:
        await call(server, "fails", how="")
    assert caught.value.code == -32001


async def test_results_that_cannot_be_written(server: Server) -> None:
    @server.tool
    async def loose(what: str) -> Any:
        loop: list[Any] = []
        loop.append(loop)
        return {"object": object(), "surrogate": "\ud800", "bytes": b"\xff", "loop": loop, "keys": {(1, 2): 3}}[what]

    @server.tool
    async def typed() -> int:
        return "three"  # type: ignore[return-value]

    @server.tool
    async def number() -> float:
        return float("nan")

    for what in ("object", "surrogate", "bytes", "loop", "keys"):
        value = await call(server, "loose", what=what)
        assert value["isError"]
        assert text(value).startswith("tool loose ")
    assert "Image, Audio or Embedded" in text(await call(server, "loose", what="bytes"))
    assert text(await call(server, "typed")) == "tool typed returned str that is no valid result: Expected int, got str"
    assert (await call(server, "number"))["isError"]


async def test_structured_results(server: Server) -> None:
    @server.tool
    async def struct() -> Point:
        return Point(1)

    @server.tool
    async def typed_dict() -> Movie:
        return {"title": "x"}

    @server.tool
    async def numbers() -> list[int]:
        return [1, 2]

    @server.tool
    async def anything() -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "data, not a result"}]}

    @server.tool
    async def tree() -> Tree:
        return Tree([Tree([])])

    @server.tool
    def maybe(there: bool) -> Point | None:
        return Point(1) if there else None

    assert (await call(server, "struct"))["structuredContent"] == {"x": 1, "y": 0}
    assert (await definition(server, "struct"))["outputSchema"]["type"] == "object"
    assert (await call(server, "typed_dict"))["structuredContent"] == {"title": "x"}
    assert (await call(server, "numbers"))["structuredContent"] == [1, 2]
    assert (await definition(server, "numbers"))["outputSchema"] == {"type": "array", "items": {"type": "integer"}}
    assert "structuredContent" in await call(server, "anything")
    assert (await call(server, "tree"))["structuredContent"] == {"children": [{"children": []}]}
    assert "$defs" in (await definition(server, "tree"))["outputSchema"]
    assert (await call(server, "maybe", there=False))["structuredContent"] is None


async def test_content_of_every_kind(server: Server) -> None:
    @server.tool
    async def mixed() -> list[Text | Image | Audio | ResourceLink | Embedded | str]:
        return [
            "plain",
            Text("said", annotations={"audience": ["user"]}, meta={"k": 1}),
            Image(b"\x00", "image/png"),
            Audio("eA=="),
            ResourceLink("x://y", title="Y", icons=[{"src": "i"}], size=3),
            Embedded("x://y", "text"),
            Embedded("x://y", b"\x01"),
        ]

    value = await call(server, "mixed")
    assert "outputSchema" not in await definition(server, "mixed")
    assert value["content"] == [
        {"type": "text", "text": "plain"},
        {"type": "text", "text": "said", "annotations": {"audience": ["user"]}, "_meta": {"k": 1}},
        {"type": "image", "data": "AA==", "mimeType": "image/png"},
        {"type": "audio", "data": "eA==", "mimeType": "audio/wav"},
        {"type": "resource_link", "uri": "x://y", "name": "x://y", "title": "Y", "size": 3, "icons": [{"src": "i"}]},
        {"type": "resource", "resource": {"uri": "x://y", "mimeType": "text/plain", "text": "text"}},
        {"type": "resource", "resource": {"uri": "x://y", "mimeType": "application/octet-stream", "blob": "AQ=="}},
    ]


async def test_what_unannotated_functions_return(server: Server) -> None:
    values = {
        "none": None,
        "block": {"type": "text", "text": "a block"},
        "data": {"type": "image", "other": 1},
        "whole": {"content": [Image(b"x"), {"type": "text", "text": "t"}], "structuredContent": 1, "_meta": {"a": 1}},
        "empty": {"content": []},
        "list": [1, "two"],
        "result": Result.of({"content": [], "mine": True}),
        "bytes": b"text",
    }

    @server.tool
    async def loose(what):  # type: ignore[no-untyped-def]
        return values[what]

    assert (await call(server, "loose", what="none"))["content"] == []
    assert (await call(server, "loose", what="block"))["content"] == [values["block"]]
    assert text(await call(server, "loose", what="data")) == '{"type":"image","other":1}'
    whole = await call(server, "loose", what="whole")
    assert [each["type"] for each in whole["content"]] == ["image", "text"]
    assert (whole["structuredContent"], whole["_meta"]) == (1, {"a": 1})
    assert await call(server, "loose", what="empty") == {"resultType": "complete", "content": []}
    assert text(await call(server, "loose", what="list")) == '[1,"two"]'
    assert (await call(server, "loose", what="result"))["mine"] is True
    assert text(await call(server, "loose", what="bytes")) == "text"


async def test_an_own_output_schema(server: Server) -> None:
    @server.tool(output_schema={"type": "object"})
    async def tool(whole: bool) -> Any:
        return {"content": [], "structuredContent": {"a": 1}} if whole else {"b": 2}

    assert (await call(server, "tool", whole=True))["structuredContent"] == {"a": 1}
    assert (await call(server, "tool", whole=False))["structuredContent"] == {"b": 2}


@pytest.mark.parametrize(
    ("hint", "content"),
    [
        (str, True), (None, True), (Any, True), (Image, True), (list[Image], True), (tuple[str, Image], True),
        (list[str | Image], True), (tuple[Image, ...], True), (str | None, True), (Annotated[str, "x"], True),
        (AsyncIterator[str], True),
        (Iterator[int], True), (list[str], False), (int, False), (dict[str, Any], False), (int | str, False),
        (Annotated[int, "x"], False), (list[Image | int], False), (Point, False), (Result, True),
    ],
)  # fmt: skip
def test_which_annotations_speak_of_content(hint: Any, content: bool) -> None:
    assert is_content(hint) is content


def test_a_series_of_text_is_several_blocks() -> None:
    assert [each["text"] for each in blocks(["a", "b"], series=True)] == ["a", "b"]
    assert blocks(["a", "b"]) == [{"type": "text", "text": '["a","b"]'}]


def test_images_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpeg").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert Image.file(tmp_path / "a.jpeg").mime == "image/jpeg"
    assert Image.file(tmp_path / "b").mime == "image/png"
    assert Image.file(str(tmp_path / "b"), "image/webp").block()["data"] == base64.b64encode(b"x").decode()


async def test_where_functions_run(server: Server) -> None:
    @server.tool
    def threaded() -> str:
        return threading.current_thread().name

    @server.tool(execution="inline")
    def inline() -> str:
        return threading.current_thread().name

    async def later() -> str:
        return threading.current_thread().name

    @server.tool
    def returns_awaitable() -> Any:
        return later()

    class Adder:
        async def __call__(self, a: int) -> int:
            return a + 1

    server.add_tool(Adder(), name="adder")
    server.add_tool(partial(Point, 1), name="partial", input_schema={"type": "object", "properties": {"y": {}}})
    server.add_tool(Adder().__call__, name="method")
    assert text(await call(server, "threaded")) == "rune-tool"
    assert text(await call(server, "inline")) == text(await call(server, "returns_awaitable")) == "MainThread"
    assert (await call(server, "adder", a=1))["structuredContent"] == 2
    assert (await call(server, "method", a=1))["structuredContent"] == 2
    assert text(await call(server, "partial")) == '{"x":1,"y":0}'


async def test_timeouts(server: Server) -> None:
    cancelled = asyncio.Event()
    go = threading.Event()

    @server.tool(timeout=0.02)
    async def hangs() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    @server.tool(timeout=0.02)
    def hangs_in_a_thread() -> str:
        go.wait(10)
        return ""

    @server.tool(timeout=5)
    async def quick() -> str:
        return "quick"

    @server.tool(timeout=5)
    async def other_timeout() -> str:
        raise TimeoutError("its own")

    @server.tool(timeout=5)
    async def timed_out_itself() -> str:
        raise TimedOut("what it called")

    assert text(await call(server, "timed_out_itself")) == "tool timed_out_itself failed: TimedOut: what it called"
    assert text(await call(server, "hangs")) == "tool hangs timed out after 0.02 s"
    assert cancelled.is_set()
    assert (await call(server, "hangs_in_a_thread"))["isError"]
    go.set()
    assert text(await call(server, "quick")) == "quick"
    assert text(await call(server, "other_timeout")) == "tool other_timeout failed: TimeoutError: its own"


async def test_cancelling_a_call_cancels_its_function(server: Server) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @server.tool
    async def waits(ctx: Context) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    for meta in (None, CAN_ASK):
        started.clear()
        cancelled.clear()
        task = asyncio.create_task(server.handle(make("tools/call", name="waits", meta=meta)))
        await asyncio.wait_for(started.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(cancelled.wait(), 30)


# --- large results ---------------------------------------------------------------------------------------------------


async def test_large_text_ends_in_a_link_for_its_caller(server: Server) -> None:
    @server.tool
    async def large(size: int) -> str:
        return "é" * size

    @server.tool
    async def streamed(size: int) -> AsyncIterator[str]:
        for _ in range(size):
            yield "é"

    @server.tool
    async def blocks_too(size: int) -> list[Text | Image]:
        return [Text("é" * size), Image(b"x")]

    assert text(await call(server, "large", size=1000)) == "é" * 1000
    for name in ("large", "streamed", "blocks_too"):
        value = await call(server, name, size=5000)
        preview, link = value["content"][:2]
        assert preview["text"].startswith("é" * 1000)
        assert len(preview["text"]) < 2200
        assert link["uri"] in preview["text"]
        assert (link["type"], link["size"], link["mimeType"]) == ("resource_link", 10000, "text/plain")
        read = await server.handle(make("resources/read", uri=link["uri"]))
        assert read.value["contents"] == [{"uri": link["uri"], "mimeType": "text/plain", "text": "é" * 5000}]
        assert (read.value["ttlMs"], read.value["cacheScope"]) == (0, "private")
        with pytest.raises(NotFound):
            await server.handle(make("resources/read", uri=link["uri"], who="bob"))


async def test_large_values_fail_with_a_link(server: Server) -> None:
    @server.tool
    async def numbers(size: int) -> list[int]:
        return [1] * size

    assert "isError" not in await call(server, "numbers", size=100)
    value = await call(server, "numbers", size=1000)
    assert value["isError"]
    assert value["content"][1]["mimeType"] == "application/json"


async def test_services_can_be_shared() -> None:
    spool, parking = Spool(), Parking()
    server = Server(max_result=1)
    server.spool, server.parking = spool, parking
    assert server.spool is spool
    assert server.parking is parking
    assert server.tasks is None

    @server.tool
    async def large(ctx: Context) -> str:
        await ctx.elicit("?")
        return "large"

    async with server:
        request = make("tools/call", name="large", meta=CAN_ASK)
        result = await server.handle(request)
    assert len(parking) == 1
    request.state, request.answers = result.state, {"k1": Raw(b'{"action":"cancel"}')}
    await server.handle(request)
    assert len(spool) == 1
    await parking.close()
    spool.close()


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_lists_change_and_listeners_hear_of_it(server: Server) -> None:
    heard: list[Note] = []
    server.listeners.add(EVERYTHING, heard.append)
    server.listeners.add(Filter(uris=frozenset({"x://y"})), heard.append)

    def function() -> str:
        return ""

    before = await server.catalog(Request("tools/list"))
    assert await server.catalog(Request("tools/list")) is before
    server.add_tool(function)
    server.add_prompt(function)
    server.add_resource("x://y", function)
    after = await server.catalog(Request("tools/list"))
    assert after is not before
    assert [len(after.tools), len(after.prompts), len(after.resources)] == [1, 1, 1]
    server.resource_updated("x://y")
    server.resource_updated("x://z")
    server.remove_tool("function")
    server.remove_prompt("function")
    server.remove_resource("x://y")
    assert await server.catalog(Request("tools/list")) == before
    assert [note.method.removeprefix("notifications/") for note in heard] == [
        "tools/list_changed", "prompts/list_changed", "resources/list_changed", "resources/updated",
        "tools/list_changed", "prompts/list_changed", "resources/list_changed",
    ]  # fmt: skip
    assert heard[3].params == b'{"uri":"x://y"}'
    with pytest.raises(KeyError):
        server.remove_tool("function")


async def test_a_tool_in_a_thread_may_change_lists(server: Server) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    server.listeners.add(EVERYTHING, lambda note: heard.put_nowait((note.method, threading.current_thread().name)))

    @server.tool
    def grow() -> str:
        server.add_tool(grow, name="grown")
        return ""

    assert (await heard.get())[1] == "MainThread"
    await call(server, "grow")
    assert await asyncio.wait_for(heard.get(), 30) == ("notifications/tools/list_changed", "MainThread")


async def test_a_listen_request_waits(server: Server) -> None:
    request = make("subscriptions/listen", notifications={"toolsListChanged": True})
    task = asyncio.create_task(server.handle(request))
    await asyncio.sleep(0)
    assert len(server.listeners) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(server.listeners) == 0


async def test_what_a_catalog_says(server: Server) -> None:
    empty = await server.catalog(Request("tools/list"))
    assert (empty.completions, empty.logging, empty.subscribe, empty.tasks, empty.reads) == (False,) * 5
    assert empty.list_changed

    @server.tool(task="optional")
    async def tool(ctx: Context) -> str:
        return ""

    @server.resource("x://{id}")
    async def template(id: str) -> str:
        return id

    @server.completion("x://{id}", "id")
    async def complete(value: str) -> list[str]:
        return []

    server.instructions = "Read me."
    full = await server.catalog(Request("tools/list"))
    assert (full.completions, full.logging, full.subscribe, full.tasks, full.reads) == (True, True, True, False, True)
    assert full.instructions == "Read me."
    assert [item.name for item in full.templates] == ["x://{id}"]
    server.tasks = object()  # type: ignore[assignment]
    assert (await server.catalog(Request("tools/list"))).tasks


async def test_requests_that_go_nowhere(server: Server) -> None:
    for method, params in (
        ("tools/call", {"name": "x"}),
        ("prompts/get", {"name": "x"}),
        ("resources/read", {"uri": "x://y"}),
    ):
        with pytest.raises(NotFound) as caught:
            await server.handle(make(method, **params))
        assert caught.value.code == -32602
    assert caught.value.data == {"uri": "x://y"}
    with pytest.raises(ProtocolError) as unknown:
        await server.handle(make("tools/list"))
    assert unknown.value.code == -32601


async def test_targets_name_the_things(server: Server) -> None:
    @server.tool
    async def tool() -> str:
        return "tool"

    @server.prompt
    async def prompt() -> str:
        return "prompt"

    @server.resource("x://y")
    async def resource() -> str:
        return "resource"

    for method, own in (("tools/call", "tool"), ("prompts/get", "prompt"), ("resources/read", "x://y")):
        request = make(method, name="exposed", uri="exposed://")
        request.target = Target(server, own)
        assert (await server.handle(request)).kind == "complete"


# --- mistakes of authors ---------------------------------------------------------------------------------------------


def test_decorators_refuse_with_the_name_and_the_reason() -> None:
    server = Server()

    def tool() -> str:
        return ""

    def odd(x: int) -> complex:
        return 1j

    async def asynchronous() -> str:
        return ""

    server.add_tool(tool)
    cases: list[tuple[Any, str]] = [
        (lambda: server.tool(tool), "tool tool: there is one already"),
        (lambda: server.tool(name="bad name")(tool), "tool bad name: a name has 1 to 128"),
        (lambda: server.tool(name="x" * 129)(tool), "a name has 1 to 128"),
        (lambda: server.tool(lambda: ""), "tool <lambda>: a name"),
        (lambda: server.tool(odd), "tool odd: return type"),
        (lambda: server.tool(name="t", execution="magic")(tool), "tool t: execution is one of"),  # type: ignore[call-overload]
        (lambda: server.tool(name="t", timeout=0)(tool), "tool t: timeout must be more than 0"),
        (lambda: server.tool(name="t", execution="thread")(asynchronous), "tool t: an async function runs inline"),
        (lambda: server.tool(name="t", task="maybe")(tool), "tool t: task is forbidden, optional or required"),
        (lambda: server.tool(name="t", detach="body")(tool), 'tool t: detach is "start"'),
        (
            lambda: server.tool(name="t", input_schema={"type": "array"})(tool),
            "tool t: input_schema must have type object",
        ),
        (lambda: server.tool(name="t", output_schema=[])(tool), "tool t: output_schema must be"),  # type: ignore[call-overload]
        (lambda: server.tool("name")(tool), "'name' is no function"),  # type: ignore[type-var]
        (lambda: server.resource("x://{a}")(tool), "a of x://{a} is no parameter"),
        (lambda: server.resource("x://y")(odd), "parameter x is no variable of x://y"),
        (lambda: server.resource("x://y", scope="all")(tool), "scope is private or public"),
        (lambda: server.completion("p", "a")(tool), "completion p/a: takes what is typed so far"),
    ]
    for mistake, reason in cases:
        with pytest.raises(ConfigError) as caught:
            mistake()
        assert reason in str(caught.value)
    server.add_resource("x://y", tool)
    with pytest.raises(ConfigError, match="resource x://y: there is one already"):
        server.add_resource("x://y", tool)
    with pytest.raises(TypeError):
        server.tool(name="t", colour="red")(tool)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no option colour"):
        Server(colour="red")  # type: ignore[call-arg]


# --- resources -------------------------------------------------------------------------------------------------------


async def read(server: Server, uri: str) -> dict[str, Any]:
    return (await asyncio.wait_for(server.handle(make("resources/read", uri=uri)), 30)).value


async def test_resources_of_every_kind(server: Server) -> None:
    values: dict[str, Any] = {
        "text": "hi", "bytes": b"\x00", "json": {"a": 1}, "Text": Text("hi"), "Image": Image(b"\x00", "image/gif"),
        "Embedded": Embedded("x://other", "o", "text/html"),
        "several": [Embedded("x://a", "a"), Embedded("x://b", b"b")],
        "whole": {"contents": [{"uri": "x://w", "text": "w"}]},
    }  # fmt: skip

    @server.resource("x://{kind}/{number}", mime_type=None, ttl_ms=5, scope="public")
    async def any_kind(kind: str, number: int) -> Any:
        return values[kind]

    @server.resource("x://static", name="Static", title="T", mime_type="text/css", size=2, meta={"m": 1})
    def static() -> str:
        """It is static."""
        return "{}"

    @server.resource("y://pieces")
    async def pieces() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    @server.resource("y://sends")
    async def sends(ctx: Context) -> None:
        await ctx.send("a")

    assert (await read(server, "y://pieces"))["contents"][0]["text"] == "ab"
    with pytest.raises(ProtocolError, match="only tools send pieces"):
        await read(server, "y://sends")
    found = {kind: (await read(server, f"x://{kind}/1"))["contents"] for kind in values}
    assert found["text"] == [{"uri": "x://text/1", "mimeType": "text/plain", "text": "hi"}]
    assert found["bytes"] == [{"uri": "x://bytes/1", "mimeType": "application/octet-stream", "blob": "AA=="}]
    assert found["json"] == [{"uri": "x://json/1", "mimeType": "application/json", "text": '{"a":1}'}]
    assert found["Text"] == [{"uri": "x://Text/1", "mimeType": "text/plain", "text": "hi"}]
    assert found["Image"] == [{"uri": "x://Image/1", "mimeType": "image/gif", "blob": "AA=="}]
    assert found["Embedded"] == [{"uri": "x://other", "mimeType": "text/html", "text": "o"}]
    assert [each["uri"] for each in found["several"]] == ["x://a", "x://b"]
    assert found["whole"] == values["whole"]["contents"]
    value = await read(server, "x://static")
    assert value == {
        "resultType": "complete", "contents": [{"uri": "x://static", "mimeType": "text/css", "text": "{}"}],
        "ttlMs": 0, "cacheScope": "private",
    }  # fmt: skip
    assert ((await read(server, "x://text/1"))["ttlMs"], (await read(server, "x://text/1"))["cacheScope"]) == (
        5,
        "public",
    )
    catalog = await server.catalog(Request("resources/list"))
    assert catalog.resources[0].value == {
        "uri": "x://static", "name": "Static", "title": "T", "description": "It is static.", "mimeType": "text/css",
        "size": 2, "_meta": {"m": 1},
    }  # fmt: skip
    assert catalog.templates[0].value == {"uriTemplate": "x://{kind}/{number}", "name": "any_kind"}


async def test_resources_that_are_not_there(server: Server) -> None:
    @server.resource("x://{kind}/{number}")
    async def thing(kind: str, number: int) -> Any:
        match kind:
            case "none":
                return None
            case "raises":
                raise NotFound("no such thing")
            case "tool":
                raise ToolError("refused")
            case "breaks":
                raise ValueError("broken")
        await asyncio.Event().wait()

    for uri in ("x://none/1", "x://raises/1", "x://none/one", "y://z"):
        with pytest.raises(NotFound) as caught:
            await read(server, uri)
        assert caught.value.data == {"uri": uri}
    with pytest.raises(ToolError):
        await read(server, "x://tool/1")
    with pytest.raises(ProtocolError, match="resource x://breaks/1 failed: ValueError: broken") as broken:
        await read(server, "x://breaks/1")
    assert broken.value.code == -32603


async def test_resources_and_prompts_have_timeouts_and_may_ask(server: Server) -> None:
    @server.resource("x://slow", timeout=0.01)
    async def slow() -> str:
        await asyncio.Event().wait()
        return ""

    @server.prompt(timeout=0.01)
    async def slow_prompt() -> str:
        await asyncio.Event().wait()
        return ""

    @server.resource("x://asks")
    async def asks(ctx: Context) -> str:
        return (await ctx.elicit("?")).action

    for method, params in (("resources/read", {"uri": "x://slow"}), ("prompts/get", {"name": "slow_prompt"})):
        with pytest.raises(Exception, match="timed out after") as caught:
            await server.handle(make(method, **params))
        assert caught.value.code == -32603  # type: ignore[attr-defined]
    request = make("resources/read", uri="x://asks", meta=CAN_ASK)
    result = await server.handle(request)
    assert result.kind == "input_required"
    request.state, request.answers = result.state, {"k1": Raw(b'{"action":"cancel"}')}
    assert (await server.handle(request)).value["contents"][0]["text"] == "cancel"


# --- prompts ---------------------------------------------------------------------------------------------------------


async def prompt(server: Server, name: str, **arguments: Any) -> dict[str, Any]:
    return (await asyncio.wait_for(server.handle(make("prompts/get", name=name, arguments=arguments)), 30)).value


async def test_prompts(server: Server) -> None:
    @server.prompt(title="Review", icons=[{"src": "i"}])
    def review(code: str, level: Literal["low", "high"] = "low", lines: list[int] | None = None, count: int = 1) -> Any:
        """Review some code.

        Args:
            code: the code
        """
        return [
            f"{code} {level} {count}",
            Message(Image(b"x"), "assistant"),
            {"role": "user", "content": Text(str(lines)).block()},
        ]

    @server.prompt
    async def whole() -> Any:
        return {"messages": ["a"], "description": "own"}

    @server.prompt
    def yields() -> Iterator[str]:
        yield "one"
        yield "two"

    @server.prompt
    async def yields_too() -> AsyncIterator[Message]:
        yield Message("one")

    @server.prompt
    async def points(point: Point, many: list[Point]) -> Any:
        return Message(f"{point.x} {len(many)}")

    catalog = await server.catalog(Request("prompts/list"))
    assert catalog.prompts[0].value == {
        "name": "review", "title": "Review", "description": "Review some code.", "icons": [{"src": "i"}],
        "arguments": [
            {"name": "code", "description": "the code", "required": True}, {"name": "level", "required": False},
            {"name": "lines", "required": False}, {"name": "count", "required": False},
        ],
    }  # fmt: skip
    value = await prompt(server, "review", code="x", level="high", count="3")
    assert value["description"] == "Review some code."
    assert [each["role"] for each in value["messages"]] == ["user", "assistant", "user"]
    assert value["messages"][0]["content"]["text"] == "x high 3"
    assert (await prompt(server, "whole"))["description"] == "own"
    assert [each["content"]["text"] for each in (await prompt(server, "yields"))["messages"]] == ["one", "two"]
    assert len((await prompt(server, "yields_too"))["messages"]) == 1
    assert (await prompt(server, "points", point='{"x":4}', many='[{"x":1}]'))["messages"][0]["content"][
        "text"
    ] == "4 1"


async def test_prompts_that_fail(server: Server) -> None:
    @server.prompt
    async def fails(how: str, point: list[int] | None = None) -> Any:
        match how:
            case "tool":
                raise ToolError("refused")
            case "protocol":
                raise ProtocolError(-5, "own")
            case "none":
                return None
        raise ValueError("broken")

    cases = [
        ({}, -32602, "prompt fails: how: is missing"),
        ({"how": "x", "more": "y"}, -32602, "prompt fails: more: is not known"),
        ({"how": 1}, -32602, "params.arguments must be an object of strings"),
        ({"how": "tool"}, -32603, "prompt fails: refused"),
        ({"how": "protocol"}, -5, "own"),
        ({"how": "x"}, -32603, "prompt fails failed: ValueError: broken"),
    ]
    for arguments, code, reason in cases:
        with pytest.raises(ProtocolError) as caught:
            await prompt(server, "fails", **arguments)
        assert (caught.value.code, str(caught.value)) == (code, reason)
    with pytest.raises(ProtocolError, match="must be an object of strings"):
        await server.handle(make("prompts/get", name="fails", arguments=[]))


# --- completion ------------------------------------------------------------------------------------------------------


async def complete(server: Server, ref: Any, name: Any, value: Any = "", **more: Any) -> dict[str, Any]:
    request = make("completion/complete", ref=ref, argument={"name": name, "value": value}, **more)
    return (await asyncio.wait_for(server.handle(request), 30)).value["completion"]


async def test_completions(server: Server) -> None:
    @server.prompt
    async def review(
        code: str, level: Literal["low", "high"] = "low", size: Size | None = None, other: str = ""
    ) -> str:
        return code

    @server.resource("x://{id}")
    async def thing(id: str) -> str:
        return id

    @server.completion("review", "code")
    async def code(value: str, others: dict[str, str]) -> list[str]:
        return [value + "1", others.get("level", "none")]

    @server.completion("x://{id}", "id", execution="inline")
    def ids(value: str) -> Any:
        match value:
            case "many":
                return (str(number) for number in range(250))
            case "dict":
                return {"values": ["a"], "total": 7, "hasMore": True}
            case "one":
                return "one"
            case "none":
                return None
            case "own":
                raise ProtocolError(-5, "own")
        raise ValueError("broken")

    ref, template = {"type": "ref/prompt", "name": "review"}, {"type": "ref/resource", "uri": "x://{id}"}
    assert await complete(server, ref, "code", "x") == {"values": ["x1", "none"], "total": 2, "hasMore": False}
    context = {"arguments": {"level": "high"}}
    assert (await complete(server, ref, "code", "x", context=context))["values"] == ["x1", "high"]
    assert (await complete(server, ref, "level", "H"))["values"] == ["high"]
    assert (await complete(server, ref, "size", "s"))["values"] == ["small"]
    assert (await complete(server, ref, "other"))["values"] == []
    many = await complete(server, template, "id", "many")
    assert (len(many["values"]), many["total"], many["hasMore"]) == (100, 250, True)
    assert await complete(server, template, "id", "dict") == {"values": ["a"], "total": 7, "hasMore": True}
    assert (await complete(server, template, "id", "one"))["values"] == ["one"]
    assert (await complete(server, template, "id", "none"))["values"] == []
    with pytest.raises(ProtocolError, match="failed: ValueError: broken"):
        await complete(server, template, "id", "x")
    with pytest.raises(ProtocolError, match="own"):
        await complete(server, template, "id", "own")
    for bad in ({"type": "ref/prompt", "name": "nobody"}, {"type": "ref/resource", "uri": "y://z"}):
        with pytest.raises(NotFound):
            await complete(server, bad, "a")
    for ref_, name, value in ((None, "a", "b"), (ref, 1, "x"), ({"type": "ref/prompt"}, "a", "b"), (ref, "a", None)):
        with pytest.raises(ProtocolError) as caught:
            await complete(server, ref_, name, value)
        assert caught.value.code == -32602
    request = make(
        "completion/complete", ref={"type": "ref/prompt", "name": "exposed"}, argument={"name": "level", "value": ""}
    )
    request.target = Target(server, "review")
    assert (await server.handle(request)).value["completion"]["values"] == ["low", "high"]
