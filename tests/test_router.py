"""Names, pages and views: what a caller sees of several sources, and what a request is about."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import NotFound, ProtocolError, Unavailable
from rune.request import Caller, Request, Result
from rune.router import Router
from rune.seal import Seal
from rune.source import Catalog, Item, Listeners, Target
from rune.view import NAME_LIMIT, Mount, exposed, renamed


def item(name: str, **more: object) -> Item:
    return Item(name, msgspec.json.encode({"name": name, "uri": name, **more}))


class Fixed:
    """A source with a catalog that the test sets, which answers with its own name and what it was asked."""

    def __init__(self, name: str, catalog: Catalog) -> None:
        self.name = name
        self.offers = catalog
        self.listeners = Listeners()
        self.asked: list[Request] = []
        self.catalogs = 0
        self.fails: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def __aenter__(self) -> Fixed:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def catalog(self, request: Request) -> Catalog:
        self.catalogs += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return self.offers

    async def handle(self, request: Request) -> Result:
        self.asked.append(request)
        assert request.target is not None
        if request.method == "resources/read" and request.target.item is None and "known" not in request.target.name:
            raise NotFound("no")
        return Result.of({"by": self.name, "name": request.target.name})


def ask(method: str, subject: str = "ann", **params: object) -> Request:
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()}
    return Request(method, raw, caller=Caller(subject))


def tools(*names: str, **more: object) -> Catalog:
    return Catalog(tools=tuple(item(name) for name in names), **more)  # type: ignore[arg-type]


def router(*mounts: Mount, page_size: int = 100) -> Router:
    return Router(mounts, Seal(), page_size)


async def resolved(router: Router, request: Request) -> Target:
    return router.resolve(request, await router.view(request))


async def names(router: Router, members: str = "tools", subject: str = "ann") -> list[str]:
    view = await router.view(ask("tools/list", subject))
    return [entry["name"] for entry in view.page(members, None).value[members]]


@given(prefix=st.text(max_size=40), name=st.text(max_size=128))
def test_exposed_names_fit_and_stay_apart(prefix: str, name: str) -> None:
    seen = exposed(prefix, name)
    assert len(seen) <= NAME_LIMIT or not prefix
    assert seen == exposed(prefix, name)
    if len(prefix + name) > NAME_LIMIT and prefix:
        assert seen != exposed(prefix, name + "x")
    else:
        assert seen == prefix + name


def test_a_renamed_definition_keeps_everything_else_byte_for_byte() -> None:
    raw = b'{"name":"a","inputSchema":{"type" : "object","$defs":{"x":{"$anchor":"y"}}},"extra":1e2}'
    assert renamed(raw, "p_a") == (
        b'{"name":"p_a","inputSchema":{"type" : "object","$defs":{"x":{"$anchor":"y"}}},"extra":1e2}'
    )


async def test_prefixes_and_bare_names() -> None:
    one, two = Fixed("one", tools("add", "only")), Fixed("two", tools("add"))
    both = router(Mount(one, "one_"), Mount(two, "two_"))
    assert await names(both) == ["one_add", "one_only", "two_add"]
    assert (await resolved(both, ask("tools/call", name="two_add"))).source is two
    assert (await resolved(both, ask("tools/call", name="only"))).name == "only"
    with pytest.raises(NotFound, match="unknown tool: add"):
        await resolved(both, ask("tools/call", name="add"))


async def test_globs_hide_tools() -> None:
    shown = router(Mount(Fixed("one", tools("get_a", "get_b", "drop")), "", ("get_*",)))
    assert await names(shown) == ["get_a", "get_b"]
    with pytest.raises(NotFound):
        await resolved(shown, ask("tools/call", name="drop"))


async def test_a_collision_hides_the_newcomer() -> None:
    one, two = Fixed("one", tools("add")), Fixed("two", tools("add"))
    merged = router(Mount(one), Mount(two))
    assert await names(merged) == ["add"]
    assert (await resolved(merged, ask("tools/call", name="add"))).source is one
    assert (await merged.view(ask("x"))).hidden == [("two", "add")]


async def test_a_source_that_cannot_answer_hides_nobody_else() -> None:
    good, bad = Fixed("good", tools("add", ttl=60_000)), Fixed("bad", tools("sub"))
    bad.fails = Unavailable("bad: exited 1")
    merged = router(Mount(good), Mount(bad))
    assert await names(merged) == ["add"]
    page = (await merged.view(ask("x"))).page("tools", None).value
    assert page["ttlMs"] == 0, "an incomplete list must not be cached"


@given(count=st.integers(0, 30), size=st.integers(1, 7))
async def test_pages_are_complete_and_in_order(count: int, size: int) -> None:
    wanted = [f"t{number}" for number in range(count)]
    paged = router(Mount(Fixed("one", tools(*wanted))), page_size=size)
    view = await paged.view(ask("x"))
    got: list[str] = []
    cursor: str | None = None
    for _ in range(count + 1):
        page = view.page("tools", cursor).value
        assert len(page["tools"]) <= size
        got += [entry["name"] for entry in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert got == wanted


@given(st.text(max_size=60))
async def test_a_cursor_that_is_not_ours_is_refused(text: str) -> None:
    view = await router(Mount(Fixed("one", tools("a", "b"))), page_size=1).view(ask("x"))
    with pytest.raises(ProtocolError) as caught:
        view.page("tools", text)
    assert caught.value.code == -32602


async def test_a_cursor_belongs_to_its_list() -> None:
    offers = Catalog(tools=(item("a"), item("b")), prompts=(item("p"), item("q")))
    view = await router(Mount(Fixed("one", offers)), page_size=1).view(ask("x"))
    with pytest.raises(ProtocolError):
        view.page("prompts", view.page("tools", None).value["nextCursor"])


@pytest.mark.parametrize(
    ("after", "rest"),
    [
        (["new", "a", "b", "c", "d"], ["c", "d"]),
        (["b", "c"], ["c"]),
        (["a", "x", "c", "d"], ["c", "d"]),
        ([], []),
    ],
)
async def test_a_list_that_changes_between_pages_loses_nothing(after: list[str], rest: list[str]) -> None:
    source = Fixed("one", tools("a", "b", "c", "d"))
    paged = router(Mount(source), page_size=2)
    cursor = (await paged.view(ask("x"))).page("tools", None).value["nextCursor"]
    source.offers = tools(*after)
    paged.changed(source)
    page = (await paged.view(ask("x"))).page("tools", cursor).value
    assert [entry["name"] for entry in page["tools"]] == rest


async def test_a_view_is_built_once_until_something_changes() -> None:
    source = Fixed("one", tools("a", ttl=60_000))
    one = router(Mount(source))
    first = await one.view(ask("x"))
    assert await one.view(ask("y")) is first and source.catalogs == 1
    one.changed(source)
    assert await one.view(ask("x")) is first and source.catalogs == 2
    source.offers = tools("b", ttl=60_000)
    one.changed(source)
    assert await one.view(ask("x")) is not first
    assert await names(one) == ["b"]


async def test_a_change_while_the_sources_are_asked_is_not_lost() -> None:
    source = Fixed("one", tools("a", ttl=60_000))
    source.gate = asyncio.Event()
    one = router(Mount(source))
    first, second = asyncio.create_task(one.view(ask("x"))), asyncio.create_task(one.view(ask("x")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.changed(source)
    source.gate.set()
    assert await first is await second
    assert source.catalogs == 1, "two requests wait for one look"
    assert one.fresh(ask("x")) is None
    await one.view(ask("x"))
    assert source.catalogs == 2


async def test_private_catalogs_are_kept_for_their_caller() -> None:
    class Own(Fixed):
        async def catalog(self, request: Request) -> Catalog:
            return tools(f"of-{request.caller.subject}", scope="private", ttl=60_000)

    private = router(Mount(Own("one", tools())))
    assert await names(private, subject="ann") == ["of-ann"]
    assert await names(private, subject="bob") == ["of-bob"]
    assert await names(private, subject="ann") == ["of-ann"]
    page = (await private.view(ask("x", "bob"))).page("tools", None).value
    assert page["cacheScope"] == "private"


async def test_private_catalogs_stay_apart_when_both_ask_at_once() -> None:
    class Own(Fixed):
        async def catalog(self, request: Request) -> Catalog:
            await asyncio.sleep(0.01)
            return tools(f"of-{request.caller.subject}", scope="private", ttl=60_000)

    private = router(Mount(Own("one", tools())))
    found = await asyncio.gather(*(names(private, subject=subject) for subject in ("ann", "bob", "cid")))
    assert found == [["of-ann"], ["of-bob"], ["of-cid"]]


# --- calls do not wait for others ------------------------------------------------------------------------------------


def call(name: str, subject: str = "ann") -> Request:
    return ask("tools/call", subject, name=name)


async def called(router: Router, name: str, subject: str = "ann") -> str:
    request = call(name, subject)
    async with asyncio.timeout(20):
        return router.resolve(request, await router.view_for_call(request)).source.name


@pytest.mark.parametrize("known", [False, True])
async def test_a_call_does_not_wait_for_a_source_that_hangs(known: bool) -> None:
    good, stuck = Fixed("good", tools("add")), Fixed("stuck", tools("sub"))
    stuck.gate = asyncio.Event()
    merged = router(Mount(good, "good_"), Mount(stuck, "stuck_"))
    if known:
        stuck.gate.set()
        assert await called(merged, "stuck_sub") == "stuck"
        stuck.gate.clear()
        merged.changed(stuck)
    assert await called(merged, "good_add") == "good"
    assert await called(merged, "good_add") == "good"
    assert good.catalogs == (2 if known else 1), "one look for all who call meanwhile"
    waiting = [asyncio.create_task(called(merged, name)) for name in ("stuck_sub", "sub", "good_new")]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting), "those are for the one that hangs, or for nobody that is known"
    stuck.gate.set()
    assert await asyncio.gather(*waiting[:2]) == ["stuck", "stuck"]
    with pytest.raises(NotFound):
        await waiting[2]


async def test_what_a_source_has_announced_counts_at_once_for_its_own_calls() -> None:
    one, two = Fixed("one", tools("a", ttl=60_000)), Fixed("two", tools("b", ttl=60_000))
    merged = router(Mount(one), Mount(two))
    assert await called(merged, "a") == "one"
    one.offers = tools("c", ttl=60_000)
    merged.changed(one)
    with pytest.raises(NotFound):
        await called(merged, "a")
    assert await called(merged, "c") == "one"
    merged.changed(one)
    assert await called(merged, "c") == "one", "the same catalog again is no longer in doubt"


async def test_an_old_view_does_not_do_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Fixed("one", tools("a"))
    merged = router(Mount(one))
    assert await called(merged, "a") == "one"
    one.offers = tools("b")
    now = time.monotonic()
    monkeypatch.setattr("rune.router.monotonic", lambda: now + 30)
    assert await called(merged, "a") == "one", "it is looked at anew, but not waited for"
    await merged.view(ask("x"))
    with pytest.raises(NotFound):
        await called(merged, "a")
    one.offers = tools("a")
    monkeypatch.setattr("rune.router.monotonic", lambda: now + 3000)
    with pytest.raises(NotFound):
        await called(merged, "b")


async def test_an_early_call_never_uses_what_another_caller_sees() -> None:
    class Own(Fixed):
        async def catalog(self, request: Request) -> Catalog:
            return tools(f"of-{request.caller.subject}", scope="private", ttl=60_000)

    stuck = Fixed("stuck", tools("sub"))
    stuck.gate = asyncio.Event()
    merged = router(Mount(Own("own", tools())), Mount(stuck))
    assert await called(merged, "of-ann") == "own"
    bob = asyncio.create_task(called(merged, "of-ann", "bob"))
    await asyncio.sleep(0.6)
    assert not bob.done()
    stuck.gate.set()
    with pytest.raises(NotFound):
        await bob
    assert await called(merged, "of-bob", "bob") == "own"


async def test_why_a_source_is_missing_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bad = Fixed("bad", tools("sub"))
    bad.fails = Unavailable("bad: exited 1")
    merged = router(Mount(bad))
    for _ in range(3):
        merged.changed(bad)
        await merged.view(ask("x"))
    assert [record.message for record in caplog.records] == ["bad: exited 1"]
    for fails in (Unavailable("bad: exited 2"), Unavailable("bad: no command"), None, Unavailable("bad: no command")):
        bad.fails = fails
        merged.changed(bad)
        await merged.view(ask("x"))
    assert [record.message for record in caplog.records[1:]] == ["bad: no command"] * 2


async def test_resources_listed_then_by_template_then_anywhere() -> None:
    one = Fixed(
        "one", Catalog(resources=(item("a://x"),), templates=(Item("a://{id}/d", b'{"uriTemplate":"a://{id}/d"}'),))
    )
    two = Fixed("two", Catalog(resources=(item("a://x"), item("b://y"))))
    three = Fixed("three", Catalog(reads=True))
    broken = Fixed("broken", Catalog(templates=(Item("a://{", b"{}"),)))
    merged = router(*(Mount(source) for source in (one, two, three, broken)))

    async def by(uri: str) -> tuple[str, str]:
        request = ask("resources/read", uri=uri)
        request.target = await resolved(merged, request)
        value = (await merged.handle(request)).value
        return value["by"], value["name"]

    assert await by("a://x") == ("one", "a://x")
    assert await by("b://y") == ("two", "b://y")
    assert await by("a://7/d") == ("one", "a://7/d")
    assert await by("c://known") == ("one", "c://known")
    with pytest.raises(NotFound) as caught:
        await by("c://other")
    assert caught.value.data == {"uri": "c://other"}
    assert [request.target.source.name for request in three.asked if request.target] == ["three"]


def resource(uri: str, **more: object) -> Item:
    return Item(uri, msgspec.json.encode({"uri": uri, "name": "n", **more}))


def template(text: str) -> Item:
    return Item(text, msgspec.json.encode({"uriTemplate": text, "name": "n"}))


async def test_a_resource_that_two_sources_list_has_two_uris() -> None:
    one = Fixed("one", Catalog(resources=(resource("a://x"), resource("a://y")), templates=(template("t://{id}"),)))
    both = (resource("a://x", extra=1), resource("a://z"), resource("ui://p"))
    two = Fixed("two", Catalog(resources=both, templates=(template("t://{id}"), template("u://{id}"))))
    three = Fixed("three", Catalog(resources=(resource("a://x"), resource("ui://p"))))
    merged = router(*(Mount(source) for source in (one, two, three)))
    view = await merged.view(ask("resources/list"))
    listed = [entry["uri"] for entry in view.page("resources", None).value["resources"]]
    assert listed == [
        "a://x", "a://y", "rune://two/a://x", "a://z", "ui://p", "rune://three/a://x", "ui://rune/three/ui://p"
    ]  # fmt: skip
    assert view.page("resources", None).value["resources"][2] == {"uri": "rune://two/a://x", "name": "n", "extra": 1}
    templates = [entry["uriTemplate"] for entry in view.page("resourceTemplates", None).value["resourceTemplates"]]
    assert templates == ["t://{id}", "rune://two/t://{id}", "u://{id}"]

    async def whose(uri: str) -> tuple[str, str]:
        target = await resolved(merged, ask("resources/read", uri=uri))
        return target.source.name, target.name

    assert await whose("a://x") == ("one", "a://x")
    assert await whose("rune://two/a://x") == ("two", "a://x")
    assert await whose("ui://rune/three/ui://p") == ("three", "ui://p")
    assert await whose("t://7") == ("one", "t://7")
    assert await whose("rune://two/t://7") == ("two", "t://7")
    # Read back even where nothing stands behind anything: a URI does not end with the server that was before it.
    assert await whose("rune://one/a://x") == ("one", "a://x")
    assert await whose("rune://two/anything") == ("two", "anything")
    assert await whose("rune://nobody/a://x") == ("one", "rune://nobody/a://x")
    assert set(view.shades) == {two, three}
    found = await resolved(merged, ask("completion/complete", ref={"type": "ref/resource", "uri": templates[1]}))
    assert (found.source.name, found.name) == ("two", "t://{id}")


async def test_a_page_of_a_tool_moves_with_its_resource() -> None:
    page = {"ui": {"resourceUri": "ui://p"}}
    one = Fixed("one", Catalog(tools=(item("a", _meta=page),), resources=(resource("ui://p"),)))
    two = Fixed("two", Catalog(tools=(item("a", _meta=page),), resources=(resource("ui://p"),)))
    view = await router(Mount(one, "one_"), Mount(two, "two_")).view(ask("x"))
    pages = [tool["_meta"]["ui"]["resourceUri"] for tool in view.page("tools", None).value["tools"]]
    assert pages == ["ui://p", "ui://rune/two/ui://p"]


async def test_what_belongs_to_whom_in_a_listen() -> None:
    one = Fixed("one", Catalog(resources=(resource("a://x"),), templates=(template("t://{id}"),)))
    two = Fixed("two", Catalog(resources=(resource("a://x"), resource("a://z"))))
    tools_only = Fixed("tools", tools("a"))
    merged = router(*(Mount(source) for source in (one, two, tools_only)))
    request = ask("subscriptions/listen")
    await merged.view(request)
    wanted = frozenset({"a://x", "rune://two/a://x", "t://1", "a://z", "b://unlisted"})
    assert merged.part(one, request, wanted) == {"a://x": "a://x", "t://1": "t://1", "b://unlisted": "b://unlisted"}
    assert merged.part(two, request, wanted) == {
        "a://x": "rune://two/a://x", "a://z": "a://z", "b://unlisted": "b://unlisted"
    }  # fmt: skip
    assert merged.part(tools_only, request, wanted) == {}


async def test_a_source_that_errs_does_not_hide_an_unlisted_resource_of_another() -> None:
    class Broken(Fixed):
        async def handle(self, request: Request) -> Result:
            raise self.fails or AssertionError

    one, two = Broken("one", Catalog(reads=True)), Fixed("two", Catalog(reads=True))
    merged = router(Mount(one), Mount(two))
    for error in (ProtocolError(0, "Unknown resource"), Unavailable("one: exited 1")):
        one.fails = None
        request = ask("resources/read", uri="x://known")
        request.target = await resolved(merged, request)
        one.fails = error
        assert (await merged.handle(request)).value["by"] == "two"
        request = ask("resources/read", uri="x://other")
        request.target = Target(one, "x://other")
        with pytest.raises(type(error)):
            await merged.handle(request)


async def test_a_name_stays_with_who_has_it() -> None:
    """The one that comes later is the newcomer, wherever it stands in the config."""
    first, second = Fixed("first", tools("a")), Fixed("second", tools("a", "b"))
    merged = router(Mount(first), Mount(second))
    first.fails = Unavailable("first: still starting")
    assert (await resolved(merged, ask("tools/call", name="a"))).source is second
    first.fails = None
    merged.changed(first)
    view = await merged.view(ask("x"))
    assert merged.resolve(ask("tools/call", name="a"), view).source is second
    assert view.hidden == [("first", "a")]
    second.offers = tools("b")
    merged.changed(second)
    assert (await resolved(merged, ask("tools/call", name="a"))).source is first


async def test_tools_for_apps_are_not_shown_to_models() -> None:
    only, both = ({"ui": {"visibility": value}} for value in (["app"], ["model", "app"]))
    offers = Catalog(tools=(item("a"), item("b", _meta=only), item("c", _meta=both), item("d", _meta={"ui": 7})))
    view = await router(Mount(Fixed("one", offers)), page_size=2).view(ask("x"))
    page = view.page("tools", None, apps=False).value
    assert [tool["name"] for tool in page["tools"]] == ["a", "c"]
    assert page["cacheScope"] == "private"
    rest = view.page("tools", page["nextCursor"], apps=False).value
    assert [tool["name"] for tool in rest["tools"]] == ["d"]
    assert [tool["name"] for tool in view.page("tools", None).value["tools"]] == ["a", "b"]
    assert view.tools["b"].name == "b", "a page calls it by its name"


async def test_no_source_with_resources() -> None:
    with pytest.raises(NotFound):
        await resolved(router(Mount(Fixed("one", tools("a")))), ask("resources/read", uri="a://x"))


async def test_prompts_and_references() -> None:
    offers = Catalog(
        prompts=(item("p"),),
        resources=(item("r://x"),),
        templates=(Item("t://{id}", b'{"uriTemplate":"t://{id}"}'),),
    )
    one = Fixed("one", offers)
    merged = router(Mount(one, "one_"))
    assert (await resolved(merged, ask("prompts/get", name="one_p"))).name == "p"
    with pytest.raises(NotFound, match="unknown prompt"):
        await resolved(merged, ask("prompts/get", name="q"))

    async def reference(**ref: object) -> str:
        return (await resolved(merged, ask("completion/complete", ref=ref))).name

    assert await reference(type="ref/prompt", name="one_p") == "p"
    assert await reference(type="ref/resource", uri="t://{id}") == "t://{id}"
    assert await reference(type="ref/resource", uri="r://x") == "r://x"
    for bad in ({"type": "ref/else"}, {"type": "ref/prompt"}, {"type": "ref/resource", "uri": 1}):
        with pytest.raises(ProtocolError):
            await reference(**bad)
