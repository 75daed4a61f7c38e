"""The gateway over its sources: discover, lists, calls, completion, listen and tasks, for two callers."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from rune.errors import ProtocolError, Unavailable
from rune.gateway import Gateway, Identity, Mount
from rune.protocol.methods import REVISIONS, TASKS
from rune.protocol.modern import Meta
from rune.request import Caller, Emit, Note, Request, Result
from rune.source import Catalog, Item, Listeners
from rune.store import MemoryStore
from rune.tasks import Running, Tasks


class Fixed:
    """A source that answers with what it was asked."""

    def __init__(self, name: str, catalog: Catalog, listens: bool = True) -> None:
        self.name = name
        self.offers = catalog
        self.listeners = Listeners()
        self.open = False
        self.listens = listens

    async def __aenter__(self) -> Fixed:
        self.open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.open = False

    async def catalog(self, request: Request) -> Catalog:
        return self.offers

    async def handle(self, request: Request) -> Result:
        if request.method == "subscriptions/listen":
            if not self.listens:
                raise Unavailable(f"{self.name}: cannot listen")
            return await self.listeners.serve(request)
        assert request.target is not None
        return Result.of({"by": self.name, "name": request.target.name, "ref": request.value("ref")})


class Heard(Emit):
    def __init__(self) -> None:
        self.notes: asyncio.Queue[Note] = asyncio.Queue()

    def __call__(self, note: Note) -> None:
        self.notes.put_nowait(note)

    async def next(self) -> tuple[str, dict[str, object]]:
        async with asyncio.timeout(30):
            note = await self.notes.get()
        return note.method, msgspec.json.decode(note.params)


def item(name: str, **more: object) -> Item:
    return Item(name, msgspec.json.encode({"name": name, **more}))


def ask(method: str, subject: str = "ann", *, tasks: bool = False, **params: object) -> Request:
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()}
    capabilities = msgspec.Raw(msgspec.json.encode({"extensions": {TASKS: {}}} if tasks else {}))
    return Request(method, raw, caller=Caller(subject), meta=Meta(capabilities=capabilities))


async def test_sources_live_as_long_as_the_gateway() -> None:
    one, two = Fixed("one", Catalog()), Fixed("two", Catalog())
    async with Gateway([Mount(one), Mount(two)]):
        assert one.open and two.open
        assert len(one.listeners) == 1
    assert not one.open and not two.open
    assert len(one.listeners) == 0


async def test_a_source_that_does_not_start_stops_the_others() -> None:
    class Broken(Fixed):
        async def __aenter__(self) -> Fixed:
            raise Unavailable("broken")

    one = Fixed("one", Catalog())
    with pytest.raises(Unavailable):
        async with Gateway([Mount(one), Mount(Broken("two", Catalog()))]):
            pass
    assert not one.open


async def test_discover_merges_what_the_sources_can_do() -> None:
    one = Catalog(tools=(item("a"),), logging=True, ttl=5, instructions="First.")
    two = Catalog(
        prompts=(item("p"),),
        resources=(item("r://x"),),
        completions=True,
        subscribe=True,
        list_changed=True,
        tasks=True,
        ttl=9,
        scope="private",
        instructions="Second.",
        extensions={"x/y": {"z": 1}},
    )
    async with Gateway([Mount(Fixed("one", one)), Mount(Fixed("two", two))]) as gateway:
        value = (await gateway.handle(ask("server/discover"))).value
        assert await gateway.handle(ask("server/discover")) is await gateway.handle(ask("server/discover"))
    assert value == {
        "resultType": "complete",
        "supportedVersions": list(reversed(REVISIONS)),
        "capabilities": {
            "logging": {},
            "completions": {},
            "prompts": {"listChanged": True},
            "resources": {"listChanged": True, "subscribe": True},
            "tools": {"listChanged": True},
            "extensions": {"x/y": {"z": 1}, TASKS: {}},
        },
        "instructions": "First.\n\nSecond.",
        "ttlMs": 5,
        "cacheScope": "private",
    }


async def test_discover_of_little() -> None:
    async with Gateway([Mount(Fixed("one", Catalog()))], identity=Identity(instructions="Own.")) as gateway:
        value = (await gateway.handle(ask("server/discover"))).value
    assert value["capabilities"] == {"tools": {}}
    assert value["instructions"] == "Own."


def test_identity_has_only_what_is_known() -> None:
    assert Identity("a", "1").wire() == {"name": "a", "version": "1"}
    assert Identity("a", "1", website_url="u", icons=({"src": "i"},)).wire() == {
        "name": "a", "version": "1", "websiteUrl": "u", "icons": [{"src": "i"}],
    }  # fmt: skip


async def test_calls_reach_the_source_under_its_own_name() -> None:
    one = Fixed("one", Catalog(tools=(item("add"),), prompts=(item("p"),), completions=True))
    async with Gateway([Mount(one, "x_")]) as gateway:
        assert (await gateway.handle(ask("tools/call", name="x_add"))).value["name"] == "add"
        value = (await gateway.handle(ask("completion/complete", ref={"type": "ref/prompt", "name": "x_p"}))).value
        assert value["ref"] == {"type": "ref/prompt", "name": "p"}
        with pytest.raises(ProtocolError) as caught:
            await gateway.handle(ask("nothing/known"))
        assert caught.value.code == -32601


async def test_mirrored_arguments_are_checked_on_http_alone() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    async with Gateway([Mount(Fixed("one", Catalog(tools=(item("t", inputSchema=schema),))))]) as gateway:
        call = ask("tools/call", name="t", arguments={"region": "eu"})
        await gateway.handle(call)
        call.headers = {b"mcp-param-region": b"eu"}
        await gateway.handle(call)
        call.headers = {b"mcp-param-region": b"us"}
        with pytest.raises(ProtocolError) as caught:
            await gateway.handle(call)
        assert caught.value.code == -32020


async def test_listen_is_acknowledged_and_passes_what_was_asked_for() -> None:
    one = Fixed("one", Catalog(list_changed=True, subscribe=True, resources=(item("r://x"),)))
    deaf = Fixed("deaf", Catalog(), listens=False)
    async with Gateway([Mount(one), Mount(deaf)]) as gateway:
        heard = Heard()
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["r://x"]}
        listen = ask("subscriptions/listen", notifications=wanted)
        listen.emit = heard
        task = asyncio.create_task(gateway.handle(listen))
        assert await heard.next() == ("notifications/subscriptions/acknowledged", {"notifications": wanted})
        while len(one.listeners) < 2:
            await asyncio.sleep(0)
        for note in (
            Note("notifications/prompts/list_changed"),
            Note("notifications/resources/updated", b'{"uri":"r://other"}'),
            Note("notifications/tools/list_changed"),
            Note("notifications/resources/updated", b'{"uri":"r://x"}'),
        ):
            one.listeners.publish(note)
        assert await heard.next() == ("notifications/tools/list_changed", {})
        assert await heard.next() == ("notifications/resources/updated", {"uri": "r://x"})
        assert heard.notes.empty()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(one.listeners) == 1


async def test_listen_honours_only_what_there_is() -> None:
    async with Gateway([Mount(Fixed("one", Catalog()))]) as gateway:
        heard = Heard()
        everything = {"toolsListChanged": True, "resourceSubscriptions": ["r://x"], "taskIds": ["t"]}
        listen = ask("subscriptions/listen", notifications=everything)
        listen.emit = heard
        task = asyncio.create_task(gateway.handle(listen))
        assert (await heard.next())[1] == {"notifications": {}}
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("wrong", [None, [], {"toolsListChanged": 1}, {"taskIds": "x"}, {"resourceSubscriptions": [1]}])
async def test_a_malformed_filter_is_refused(wrong: object) -> None:
    async with Gateway([Mount(Fixed("one", Catalog()))]) as gateway:
        with pytest.raises(ProtocolError) as caught:
            await gateway.handle(ask("subscriptions/listen", notifications=wrong))
        assert caught.value.code == -32602


async def test_a_change_of_a_source_is_seen_by_the_next_list() -> None:
    one = Fixed("one", Catalog(tools=(item("a"),), ttl=60_000))
    async with Gateway([Mount(one)]) as gateway:
        first = await gateway.handle(ask("tools/list"))
        assert await gateway.handle(ask("tools/list")) is first
        one.offers = Catalog(tools=(item("b"),), ttl=60_000)
        one.listeners.publish(Note("notifications/tools/list_changed"))
        assert [tool["name"] for tool in (await gateway.handle(ask("tools/list"))).value["tools"]] == ["b"]


async def test_tasks_are_heard_by_their_owner_alone() -> None:
    async with (
        Tasks(MemoryStore()) as tasks,
        Gateway([Mount(Fixed("one", Catalog(tasks=True)))], tasks=tasks) as gateway,
    ):
        go = asyncio.Event()

        async def body(running: Running) -> Result:
            await go.wait()
            return Result.of({"content": []})

        made = await tasks.create(ask("tools/call", name="slow"), "one", body)
        id = made.value["taskId"]
        heard = {}
        for subject in ("ann", "bob"):
            listen = ask("subscriptions/listen", subject, tasks=True, notifications={"taskIds": [id]})
            listen.emit = heard[subject] = Heard()
            task = asyncio.create_task(gateway.handle(listen))
            acknowledged = (await heard[subject].next())[1]
            assert acknowledged == {"notifications": {"taskIds": [id]} if subject == "ann" else {}}
            assert not task.done()
        await asyncio.sleep(0.05)
        go.set()
        method, params = await heard["ann"].next()
        assert (method, params["taskId"], params["status"]) == ("notifications/tasks", id, "completed")
        assert heard["bob"].notes.empty()
        assert (await gateway.handle(ask("tasks/get", tasks=True, taskId=id))).value["status"] == "completed"
        with pytest.raises(ProtocolError) as caught:
            await gateway.handle(ask("tasks/get", taskId=id))
        assert caught.value.code == -32021


async def test_without_tasks_there_are_no_task_methods() -> None:
    async with Gateway([Mount(Fixed("one", Catalog()))]) as gateway:
        with pytest.raises(ProtocolError) as caught:
            await gateway.handle(ask("tasks/get", tasks=True, taskId="x"))
        assert caught.value.code == -32601
