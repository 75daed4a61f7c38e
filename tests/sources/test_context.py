"""What a running function may do: tell, ask, send; in async functions, in threads, in tasks, parked and replayed."""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Raw

from rune.asking import Rest
from rune.errors import ConfigError, ProtocolError, ToolError
from rune.protocol.methods import TASKS
from rune.protocol.modern import Meta
from rune.protocol.questions import declares
from rune.request import Caller, Emit, Note, Request, Result
from rune.sources.content import Image, Message
from rune.sources.context import Context
from rune.sources.functions import Server
from rune.sources.questions import Answer, Root, Sampled, form, raw, read_answer, sampling, wire_messages

EVERYTHING = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}


class Heard(Emit):
    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.rooms = 0
        self.released = 0

    def __call__(self, note: Note) -> None:
        self.notes.append((note.method.removeprefix("notifications/"), msgspec.json.decode(note.params)))

    async def room(self) -> None:
        self.rooms += 1
        await asyncio.sleep(0)

    def release(self) -> None:
        self.released += 1

    @property
    def messages(self) -> list[Any]:
        return [params.get("message", params.get("data")) for _, params in self.notes]


def make(
    name: str, arguments: dict[str, Any] | None = None, *, capabilities: dict[str, Any] | None = None,
    token: Any = None, level: str | None = None, who: str = "ann",
) -> Request:  # fmt: skip
    meta = Meta(capabilities=Raw(msgspec.json.encode(capabilities or {})), progress_token=token, log_level=level)
    params = {"name": Raw(msgspec.json.encode(name)), "arguments": Raw(msgspec.json.encode(arguments or {}))}
    return Request("tools/call", params, meta=meta, caller=Caller(who), emit=Heard())


def heard(request: Request) -> Heard:
    assert isinstance(request.emit, Heard)
    return request.emit


async def call(server: Server, request: Request) -> Result:
    return await asyncio.wait_for(server.handle(request), 30)


async def answer(server: Server, request: Request, result: Result, answers: dict[str, Any]) -> Result:
    assert result.kind == "input_required"
    retry = request.replace(emit=Heard())
    retry.state = result.state
    retry.answers = {key: Raw(msgspec.json.encode(value)) for key, value in answers.items()}
    return await call(server, retry)


def text(result: Result) -> str:
    assert result.kind == "complete"
    found: str = result.value["content"][0]["text"]
    return found


class Later:
    """Something awaitable that is no coroutine."""

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return "done"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server("demo") as made:
        yield made


# --- telling ---------------------------------------------------------------------------------------------------------


async def test_progress_rises_and_only_goes_to_those_who_asked(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        await ctx.progress(1, 4, "one")
        await ctx.progress(1, 4)
        await ctx.progress(0.5)
        await ctx.progress(float("nan"))
        await ctx.progress(4)
        return "done"

    silent, wanted = make("work"), make("work", token="t")
    assert text(await call(server, silent)) == text(await call(server, wanted)) == "done"
    assert heard(silent).notes == []
    assert heard(wanted).notes == [
        ("progress", {"progressToken": "t", "progress": 1, "total": 4, "message": "one"}),
        ("progress", {"progressToken": "t", "progress": 4}),
    ]


async def test_logs_go_out_at_the_level_that_the_request_wants(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        ctx.debug("a")
        await ctx.info({"b": 1})
        await ctx.warning("c", logger="mine")
        await ctx.error("d")
        await ctx.log("emergency", "e")
        return "done"

    for level, expected in ((None, []), ("warning", ["c", "d", "e"]), ("debug", ["a", {"b": 1}, "c", "d", "e"])):
        request = make("work", level=level)
        await call(server, request)
        assert heard(request).messages == expected
    assert [params["logger"] for _, params in heard(request).notes] == ["demo", "demo", "mine", "demo", "demo"]


async def test_an_unknown_level_is_the_authors_mistake(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        await ctx.log("loud", "x")
        return ""

    result = await call(server, make("work"))
    assert "no such log level: loud" in text(result)


async def test_pieces_leave_at_once_and_the_result_holds_all(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> None:
        await ctx.send("a")
        await ctx.send("b")
        await ctx.progress(50)
        await ctx.send("c")
        await ctx.progress(51)

    silent, wanted = make("work"), make("work", token=7)
    assert text(await call(server, silent)) == text(await call(server, wanted)) == "abc"
    assert heard(silent).notes == []
    assert heard(wanted).messages == ["a", "b", None, "c", None]
    steps = [params["progress"] for _, params in heard(wanted).notes]
    assert steps == sorted(set(steps))
    assert steps[:3] == [1, 2, 50]
    assert heard(wanted).rooms == 3


@pytest.mark.parametrize("execution", ["thread", "inline"])
async def test_sync_functions_tell_without_await(server: Server, execution: Literal["thread", "inline"]) -> None:
    @server.tool(execution=execution)
    def work(ctx: Context) -> None:
        ctx.progress(1)
        ctx.info("log")
        ctx.send("a")
        ctx.send("b")
        ctx.release()

    request = make("work", token=1, level="info")
    assert text(await call(server, request)) == "ab"
    assert [name for name, _ in heard(request).notes] == ["progress", "message", "progress", "progress"]
    assert heard(request).rooms == (2 if execution == "thread" else 0)
    assert heard(request).released == 1


async def test_generators_of_every_kind(server: Server) -> None:
    @server.tool
    async def asynchronous(count: int) -> AsyncIterator[Any]:
        for number in range(count):
            yield f"{number} " if number else {"first": True}

    @server.tool
    def threaded(count: int) -> Iterator[str]:
        for number in range(count):
            yield f"{number} "

    @server.tool(execution="inline")
    def inline(count: int) -> Iterator[str]:
        yield from (f"{number} " for number in range(count))

    @server.tool
    def returns_one(count: int) -> Iterator[str]:
        return (f"{number} " for number in range(count))

    @server.tool
    async def returns_async(count: int) -> AsyncIterator[str]:
        async def made() -> AsyncIterator[str]:
            for number in range(count):
                yield f"{number} "

        return made()

    for name, first in (
        ("asynchronous", '{"first":true}\n'),
        ("threaded", "0 "),
        ("inline", "0 "),
        ("returns_one", "0 "),
        ("returns_async", "0 "),
    ):
        silent, wanted = make(name, {"count": 3}), make(name, {"count": 3}, token=1)
        assert text(await call(server, silent)) == text(await call(server, wanted)) == first + "1 2 "
        assert heard(silent).notes == []
        assert heard(wanted).messages == [first, "1 ", "2 "]
    assert (await call(server, make("asynchronous", {"count": 0}))).value["content"] == []


async def test_a_generator_is_closed_when_its_client_goes(server: Server) -> None:
    closed, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @server.tool
    async def endless() -> AsyncIterator[str]:
        try:
            started.set()
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            closed.set()

    @server.tool
    def endless_thread() -> Iterator[str]:
        try:
            loop.call_soon_threadsafe(started.set)
            while True:
                yield "x"
        finally:
            closed.set()

    for name in ("endless", "endless_thread"):
        for token in (1, None):
            closed.clear()
            started.clear()
            task = asyncio.create_task(server.handle(make(name, token=token)))
            await asyncio.wait_for(started.wait(), 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(closed.wait, 5)


async def test_a_call_that_is_over_tells_nothing_more(server: Server) -> None:
    kept: list[Context] = []

    @server.tool
    async def work(ctx: Context) -> str:
        kept.append(ctx)
        return "done"

    request = make("work", token=1)
    await call(server, request)
    await kept[0].progress(1)
    assert kept[0].closed
    assert heard(request).notes == []

    def late() -> str:
        try:
            kept[0].wait(asyncio.sleep(0))
        except ToolError as error:
            return str(error)
        return "waited"

    assert await asyncio.to_thread(late) == "the call is over"


# --- asking ----------------------------------------------------------------------------------------------------------


@dataclass
class Person:
    name: str
    age: int | None = None


class Size(enum.Enum):
    S = "small"
    L = "large"


@pytest.mark.parametrize("again", [False, True])
async def test_one_body_asks_in_several_rounds(server: Server, again: bool) -> None:
    @server.tool(replay=again)
    async def work(ctx: Context, greeting: str) -> str:
        who = await ctx.elicit("Who?", Person)
        if not who.accepted:
            return f"{greeting} nobody ({who.action}, {who.content})"
        model = await ctx.sample("Say hi", system_prompt="be kind", key="model")
        size = await ctx.elicit("Which size?", Size, key="model")
        dirs = await ctx.roots()
        return f"{greeting} {who.content.name} {model.text} {size.content} {dirs[0].uri}"

    request = make("work", {"greeting": "Hi"}, capabilities=EVERYTHING)
    result = await call(server, request)
    question = result.value["inputRequests"]["k1"]["params"]
    assert question["requestedSchema"] == {
        "type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"],
    }  # fmt: skip
    declined = await call(server, request)
    assert text(await answer(server, request, declined, {"k1": {"action": "decline"}})) == "Hi nobody (decline, None)"
    result = await answer(server, request, result, {"k1": {"action": "accept", "content": {"name": "Ann"}}})
    assert result.value["inputRequests"]["model"]["params"]["systemPrompt"] == "be kind"
    hi = {"role": "assistant", "model": "m", "content": [{"type": "text", "text": "hello"}, {"type": "image"}]}
    result = await answer(server, request, result, {"model": hi})
    value = {"action": "accept", "content": {"value": "large"}}
    result = await answer(server, request, result, {"model-2": value})
    assert list(result.value["inputRequests"]) == ["k4"]
    result = await answer(server, request, result, {"k4": {"roots": [{"uri": "file:///x", "name": "x"}]}})
    assert text(result) == "Hi Ann hello Size.L file:///x"
    assert len(server.parking) == 0


async def test_two_callers_never_meet(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        return f"{ctx.caller.subject}: {(await ctx.elicit('Who?', str)).content}"

    requests = {who: make("work", capabilities=EVERYTHING, who=who) for who in ("ann", "bob")}
    results = {who: await call(server, request) for who, request in requests.items()}
    accept = {"k1": {"action": "accept", "content": {"value": "x"}}}
    with pytest.raises(ProtocolError, match="invalid or expired requestState"):
        await answer(server, requests["ann"], results["bob"], accept)
    for who in ("bob", "ann"):
        assert text(await answer(server, requests[who], results[who], accept)) == f"{who}: x"


async def test_several_at_once_by_ask_and_by_gather(server: Server) -> None:
    @server.tool
    async def one_round(ctx: Context) -> str:
        answers = await ctx.ask(
            {"a": ctx.form("A?"), "b": {"method": "roots/list"}, "c": ctx.link("C?", "https://example.org")}
        )
        return f"{answers['a'].action} {answers['b']} {answers['c'].action}"

    @server.tool
    async def gathered(ctx: Context) -> str:
        found = await asyncio.gather(ctx.elicit("A?"), ctx.roots())
        return f"{found[0].action} {found[1]}"

    yes = {"action": "accept", "content": {}}
    request = make("one_round", capabilities=EVERYTHING)
    result = await call(server, request)
    assert list(result.value["inputRequests"]) == ["a", "b", "c"]
    assert result.value["inputRequests"]["c"]["params"] == {
        "mode": "url",
        "message": "C?",
        "url": "https://example.org",
    }
    result = await answer(server, request, result, {"a": yes, "b": {"roots": []}, "c": {"action": "cancel"}})
    assert text(result) == "accept {'roots': []} cancel"
    request = make("gathered", capabilities=EVERYTHING)
    result = await call(server, request)
    assert list(result.value["inputRequests"]) == ["k1", "k2"]
    assert text(await answer(server, request, result, {"k1": yes, "k2": {"roots": []}})) == "accept []"


@pytest.mark.parametrize(
    ("capabilities", "kind", "required"),
    [
        ({}, "elicit", {"elicitation": {}}),
        ({"sampling": {}}, "elicit", {"elicitation": {}}),
        ({"elicitation": {"url": {}}}, "elicit", {"elicitation": {}}),
        ({"elicitation": {}}, "url", {"elicitation": {"url": {}}}),
        ({"elicitation": {}}, "sample", {"sampling": {}}),
        ({"sampling": {}}, "tools", {"sampling": {"tools": {}}}),
        ({"sampling": {}}, "roots", {"roots": {}}),
    ],
)
async def test_only_what_the_client_declared_is_asked(
    server: Server, capabilities: dict[str, Any], kind: str, required: dict[str, Any]
) -> None:
    @server.tool
    async def work(ctx: Context, kind: str) -> str:
        match kind:
            case "elicit":
                await ctx.elicit("?")
            case "url":
                await ctx.elicit("?", url="https://example.org")
            case "sample":
                await ctx.sample("?")
            case "tools":
                await ctx.sample("?", tools=[{"name": "t", "inputSchema": {"type": "object"}}])
            case _:
                await ctx.roots()
        return ""

    with pytest.raises(ProtocolError) as caught:
        await call(server, make("work", {"kind": kind}, capabilities=capabilities))
    assert caught.value.code == -32021
    assert caught.value.data == {"requiredCapabilities": required}
    assert len(server.parking) == 0


async def test_declares(server: Server) -> None:
    seen: dict[str, bool] = {}
    names = (
        "elicitation", "elicitation.form", "elicitation.url", "sampling", "sampling.tools", "roots",
        "org.example/x", "org.example/y",
    )  # fmt: skip

    @server.tool
    async def work(ctx: Context) -> str:
        seen.update({name: ctx.declares(name) for name in names})
        return ""

    await call(
        server, make("work", capabilities={"elicitation": {}, "sampling": {}, "extensions": {"org.example/x": {}}})
    )
    assert [name for name, there in seen.items() if there] == [
        "elicitation",
        "elicitation.form",
        "sampling",
        "org.example/x",
    ]


async def test_progress_after_an_answer_goes_to_the_retry(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        await ctx.progress(5)
        await ctx.elicit("?")
        await ctx.progress(1)
        return str(ctx.request.meta.progress_token)

    first = make("work", capabilities=EVERYTHING, token="one")
    result = await call(server, first)
    retry = make("work", capabilities=EVERYTHING, token="two")
    retry.state, retry.answers = result.state, {"k1": Raw(b'{"action":"cancel"}')}
    assert text(await call(server, retry)) == "two"
    assert heard(first).notes == [("progress", {"progressToken": "one", "progress": 5})]
    assert heard(retry).notes == [("progress", {"progressToken": "two", "progress": 1})]


async def test_sync_functions_ask_by_wait(server: Server) -> None:
    @server.tool
    def threaded(ctx: Context) -> str:
        return str(ctx.wait(ctx.elicit("Who?", str)).content)

    @server.tool(execution="inline")
    def inline(ctx: Context) -> str:
        return str(ctx.wait(ctx.elicit("Who?", str)).content)

    request = make("threaded", capabilities=EVERYTHING)
    result = await call(server, request)
    accept = {"k1": {"action": "accept", "content": {"value": "Ann"}}}
    assert text(await answer(server, request, result, accept)) == "Ann"
    failed = await call(server, make("inline", capabilities=EVERYTHING))
    assert "wait() would stop the event loop" in text(failed)


async def test_a_thread_that_waits_for_an_answer_is_set_free(server: Server) -> None:
    freed = threading.Event()

    @server.tool
    def threaded(ctx: Context) -> str:
        try:
            ctx.wait(ctx.elicit("Who?"))
        finally:
            freed.set()
        return ""

    await call(server, make("threaded", capabilities=EVERYTHING))
    assert len(server.parking) == 1
    await server.parking.close()
    assert await asyncio.to_thread(freed.wait, 5)


async def test_threads_that_wait_for_users_do_not_block_others() -> None:
    async with Server("demo", threads=1) as server:

        @server.tool
        def asks(ctx: Context) -> str:
            return str(ctx.wait(ctx.elicit("?")).action)

        @server.tool
        def works() -> str:
            return "works"

        request = make("asks", capabilities=EVERYTHING)
        results = [await call(server, request) for _ in range(3)]
        assert text(await call(server, make("works"))) == "works"
        for result in results:
            assert text(await answer(server, request, result, {"k1": {"action": "cancel"}})) == "cancel"
        assert text(await call(server, make("works"))) == "works"


async def test_completions_cannot_ask(server: Server) -> None:
    @server.prompt
    async def prompt(a: str, b: str) -> str:
        return a + b

    @server.completion("prompt", "a")
    async def on_the_loop(value: str, ctx: Context) -> list[str]:
        return [(await ctx.elicit("?")).action]

    @server.completion("prompt", "b")
    def in_a_thread(value: str, ctx: Context) -> list[str]:
        return [ctx.wait(asyncio.sleep(0, "waited")), ctx.wait(Later())]

    ref = {"type": "ref/prompt", "name": "prompt"}
    for name in ("a", "b"):
        request = make("prompt", capabilities=EVERYTHING)
        request.method = "completion/complete"
        request.params |= {
            "ref": Raw(msgspec.json.encode(ref)),
            "argument": Raw(b'{"name":"%b","value":""}' % name.encode()),
        }
        if name == "a":
            with pytest.raises(ToolError, match="this call cannot ask"):
                await call(server, request)
        else:
            assert (await call(server, request)).value["completion"]["values"] == ["waited", "done"]


async def test_forms_by_schema_give_the_content_as_it_is(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        return str((await ctx.elicit("?", schema)).content)

    request = make("work", capabilities=EVERYTHING)
    accept = {"k1": {"action": "accept", "content": {"n": 1, "more": "x"}}}
    assert text(await answer(server, request, await call(server, request), accept)) == "{'n': 1, 'more': 'x'}"


async def test_time_does_not_run_while_the_user_thinks(server: Server) -> None:
    @server.tool(timeout=0.05)
    async def work(ctx: Context) -> str:
        await asyncio.gather(ctx.elicit("?"), ctx.roots())
        await asyncio.Event().wait()
        return ""

    request = make("work", capabilities=EVERYTHING)
    result = await call(server, request)
    await asyncio.sleep(0.1)
    result = await answer(server, request, result, {"k1": {"action": "cancel"}})
    await asyncio.sleep(0.1)
    result = await answer(server, request, result, {"k2": {"roots": []}})
    assert text(result) == "tool work timed out after 0.05 s"


async def test_answers_that_do_not_fit_the_type_are_refused(server: Server) -> None:
    @server.tool
    async def work(ctx: Context) -> str:
        return str((await ctx.elicit("Who?", Person)).content)

    request = make("work", capabilities=EVERYTHING)
    result = await call(server, request)
    with pytest.raises(ProtocolError, match=r"inputResponses\.k1: Expected str, got int - at \$\.name") as caught:
        await answer(server, request, result, {"k1": {"action": "accept", "content": {"name": 1}}})
    assert caught.value.code == -32602
    with pytest.raises(ProtocolError, match=r"'uri' is missing"):
        read_answer("r", Context.folders(), Raw(b'{"roots":[{}]}'))


# --- inside tasks ----------------------------------------------------------------------------------------------------


class FakeTasks:
    """Tasks without a store: they run when the test says so."""

    def __init__(self) -> None:
        self.bodies: list[Rest] = []
        self.said: list[str] = []
        self.id = "task-1"

    async def create(self, request: Request, source: str, body: Rest) -> Result:
        self.bodies.append(body)
        return Result.of({"taskId": self.id, "source": source}, "task")

    async def ask(self, questions: dict[str, Any]) -> dict[str, Raw]:
        return {key: Raw(b'{"action":"accept","content":{"value":"yes"}}') for key in questions}

    async def status(self, message: str) -> None:
        self.said.append(message)


TASK_CLIENT = {**EVERYTHING, "extensions": {TASKS: {}}}


@pytest.fixture
def tasks(server: Server) -> FakeTasks:
    made = FakeTasks()
    server.tasks = made  # type: ignore[assignment]
    return made


async def test_one_body_as_a_task_and_as_a_call(server: Server, tasks: FakeTasks) -> None:
    @server.tool(task="optional")
    async def work(ctx: Context) -> str:
        await ctx.progress(1, message="half")
        await ctx.progress(2)
        await ctx.info("nobody hears this")
        await ctx.send("piece")
        assert (await ctx.detach()) is ctx.task
        return f"{(await ctx.elicit('Sure?', str)).content} {ctx.task and ctx.task.id}"

    request = make("work", capabilities=TASK_CLIENT, token=1, level="debug")
    assert (await call(server, request)).kind == "task"
    assert text(await tasks.bodies[0](tasks)) == "yes task-1"
    assert heard(request).notes == []
    assert tasks.said == ["half"]
    request = make("work", capabilities=EVERYTHING)
    result = await call(server, request)
    accept = {"k1": {"action": "accept", "content": {"value": "no"}}}
    assert text(await answer(server, request, result, accept)) == "no None"


async def test_sync_functions_in_tasks(server: Server, tasks: FakeTasks) -> None:
    @server.tool(task="required")
    def threaded(ctx: Context) -> str:
        ctx.progress(1, message="from a thread")
        return ""

    @server.tool(task="required", execution="inline")
    def inline(ctx: Context) -> str:
        ctx.progress(1, message="cannot wait")
        return ""

    for name in ("threaded", "inline"):
        await call(server, make(name, capabilities=TASK_CLIENT))
        await tasks.bodies.pop()(tasks)
    assert tasks.said == ["from a thread"]


async def test_a_required_task_needs_a_client_that_knows_tasks(server: Server, tasks: FakeTasks) -> None:
    ran = False

    @server.tool(task="required")
    async def work() -> str:
        nonlocal ran
        ran = True
        return ""

    with pytest.raises(ProtocolError) as caught:
        await call(server, make("work", capabilities=EVERYTHING))
    assert caught.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert not ran
    server.tasks = None
    with pytest.raises(ProtocolError):
        await call(server, make("work", capabilities=TASK_CLIENT))


@pytest.mark.parametrize("again", [False, True])
async def test_ask_first_then_the_task(server: Server, tasks: FakeTasks, again: bool) -> None:
    @server.tool(task="optional", detach="body", replay=again)
    async def work(ctx: Context) -> str:
        name = (await ctx.elicit("Who?", str)).content
        handle = await ctx.detach()
        again = (await ctx.elicit("Sure?", str)).content if handle else "at once"
        return f"{name} {again}"

    accept = {"k1": {"action": "accept", "content": {"value": "Ann"}}}
    request = make("work", capabilities=TASK_CLIENT)
    result = await answer(server, request, await call(server, request), accept)
    assert result.kind == "task"
    assert result.value["source"] == "demo"
    assert text(await tasks.bodies[0](tasks)) == "Ann yes"
    request = make("work", capabilities=EVERYTHING)
    assert text(await answer(server, request, await call(server, request), accept)) == "Ann at once"


# --- questions -------------------------------------------------------------------------------------------------------


def test_forms_are_flat() -> None:
    @dataclass
    class Nested:
        person: Person

    class Choice(msgspec.Struct):
        colors: list[Literal["red", "blue"]]
        size: Size = Size.S
        flag: bool | None = None

    assert form("?", Choice).params["requestedSchema"]["properties"] == {
        "colors": {"type": "array", "items": {"type": "string", "enum": ["blue", "red"]}},
        "size": {"type": "string", "title": "Size", "enum": ["large", "small"], "default": "small"},
        "flag": {"type": "boolean"},
    }
    assert form("?").params["requestedSchema"] == {"type": "object", "properties": {}}
    for bad in (Nested, list[str], {"type": "string"}, {"type": "object"}, complex):
        with pytest.raises(ConfigError, match="elicit: "):
            form("?", bad)


def test_sampling_takes_messages_of_every_kind() -> None:
    image = {"type": "image", "data": "eA==", "mimeType": "image/png"}
    said = {"role": "user", "content": "yo"}
    assert wire_messages(["hi", Message(Image(b"x"), "assistant"), said, {"role": "user", "content": [image]}]) == [
        {"role": "user", "content": {"type": "text", "text": "hi"}},
        {"role": "assistant", "content": image},
        {"role": "user", "content": {"type": "text", "text": "yo"}},
        {"role": "user", "content": [image]},
    ]  # fmt: skip
    question = sampling("x", temperature=0.5, include_context="none", tools=None)
    assert question.params["temperature"] == 0.5
    assert question.params["includeContext"] == "none"
    assert "tools" not in question.params
    assert sampling("x", tool_choice={"mode": "none"}).needs == {"sampling": {"tools": {}}}
    with pytest.raises(TypeError, match="no option colour"):
        sampling("x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="exactly one content"):
        Message(None).wire()


def test_raw_questions_know_what_they_need() -> None:
    assert raw({"method": "elicitation/create", "params": {"mode": "url"}}).needs == {"elicitation": {"url": {}}}
    assert raw({"method": "elicitation/create"}).needs == {"elicitation": {}}
    assert raw({"method": "sampling/createMessage", "params": {"tools": [1]}}).needs == {"sampling": {"tools": {}}}
    with pytest.raises(ValueError, match="no such question: ping"):
        raw({"method": "ping"})


def test_values_of_answers() -> None:
    assert Answer("accept").accepted
    assert Sampled("assistant", {"type": "text", "text": "x"}).text == "x"
    assert Root("file:///x").name is None
    assert not declares({"sampling": {}}, {"sampling": True})
