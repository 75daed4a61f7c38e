"""Profiles: what is cut from a catalog, and what can be reached of the rest by whatever name."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from rune.errors import RuneError
from rune.gateway import Gateway
from rune.profile import Profile
from rune.request import ANONYMOUS, Caller, Request
from rune.source import Catalog, Item
from rune.sources.spool import PREFIX
from rune.view import Mount
from tests.test_gateway import Fixed, Heard, ask, item


def resource(uri: str, **more: object) -> Item:
    return Item(uri, msgspec.json.encode({"name": uri, "uri": uri, **more}))


def template(text: str) -> Item:
    return Item(text, msgspec.json.encode({"name": text, "uriTemplate": text}))


ALL = Catalog(
    tools=(item("search"), item("delete"), item("show", _meta={"ui": {"resourceUri": "ui://page"}})),
    prompts=(item("plan"), item("other")),
    resources=(resource("db://a"), resource("file://a"), resource("ui://page"), resource("ui://else")),
    templates=(template("db://{name}"), template("file://{+path}")),
    completions=True,
    subscribe=True,
    list_changed=True,
    logging=True,
    tasks=True,
    instructions="About one.",
    extensions={"x/y": {}},
)
REST = Catalog(tools=(item("hidden"),), instructions="About two.", extensions={"z": {}}, ttl=9)


def gateway(profile: Profile) -> Gateway:
    mounts = [Mount(Fixed("one", ALL), "gh_"), Mount(Fixed("two", REST), "two_")]
    return Gateway(mounts, profile=profile, page_size=1)


async def names(made: Gateway, method: str, members: str) -> list[str]:
    found: list[str] = []
    cursor: dict[str, object] = {}
    while True:
        page = (await made.handle(ask(method, **cursor))).value
        found += [entry.get("uri") or entry.get("uriTemplate") or entry["name"] for entry in page[members]]
        if "nextCursor" not in page:
            return found
        cursor = {"cursor": page["nextCursor"]}


async def refused(made: Gateway, method: str, **params: object) -> str:
    with pytest.raises(RuneError) as caught:
        await made.handle(ask(method, **params))
    assert caught.value.code == -32602
    return caught.value.message


async def test_nothing_is_there_that_is_not_named() -> None:
    async with gateway(Profile("p", tools=("gh_s*",))) as made:
        assert await names(made, "tools/list", "tools") == ["gh_search", "gh_show"]
        assert (await made.handle(ask("tools/call", name="gh_search"))).value["name"] == "search"
        # The bare name is unique in this view.
        assert (await made.handle(ask("tools/call", name="search"))).value["name"] == "search"
        for name in (
            "gh_delete",
            "delete",
            "GH_search",
            "gh_Search",
            "gh_search ",
            "two_hidden",
            "hidden",
            "gh_s*",
            "",
        ):
            assert await refused(made, "tools/call", name=name) == f"unknown tool: {name}"
        assert await names(made, "prompts/list", "prompts") == []
        await refused(made, "prompts/get", name="gh_plan")
        await refused(made, "completion/complete", ref={"type": "ref/prompt", "name": "gh_plan"})
        await refused(made, "completion/complete", ref={"type": "ref/resource", "uri": "db://{name}"})
        assert await names(made, "resources/templates/list", "resourceTemplates") == []
        for uri in ("db://a", "db://b", "file://a", "file://b", "ui://else", "unknown://x"):
            await refused(made, "resources/read", uri=uri)


async def test_the_page_of_a_tool_and_large_results_can_be_read() -> None:
    async with gateway(Profile("p", tools=("gh_s*",))) as made:
        assert await names(made, "resources/list", "resources") == ["ui://page"]
        for uri in ("ui://page", PREFIX + "x"):
            assert (await made.handle(ask("resources/read", uri=uri))).value["name"] == uri
    async with gateway(Profile("p", tools=("gh_search",))) as made:
        assert await names(made, "resources/list", "resources") == []
        await refused(made, "resources/read", uri="ui://page")


async def test_prompts_and_resources_have_globs_of_their_own() -> None:
    async with gateway(Profile("p", prompts=("gh_plan",), resources=("db://*",))) as made:
        assert await names(made, "tools/list", "tools") == []
        assert await names(made, "prompts/list", "prompts") == ["gh_plan"]
        assert await names(made, "resources/list", "resources") == ["db://a"]
        assert await names(made, "resources/templates/list", "resourceTemplates") == ["db://{name}"]
        for uri in ("db://a", "db://b"):
            assert (await made.handle(ask("resources/read", uri=uri))).value["name"] == uri
        for uri in ("file://a", "file://b", "ui://page"):
            await refused(made, "resources/read", uri=uri)
        await made.handle(ask("completion/complete", ref={"type": "ref/prompt", "name": "gh_plan"}))
        await refused(made, "prompts/get", name="gh_other")


async def test_discovery_tells_of_what_is_shown() -> None:
    async with gateway(Profile("p", tools=("two_*",))) as made:
        value = (await made.handle(ask("server/discover"))).value
    assert value["capabilities"] == {"tools": {"listChanged": True}, "extensions": {"z": {}}}
    assert value["instructions"] == "About two."
    async with gateway(Profile("p")) as made:
        value = (await made.handle(ask("server/discover"))).value
    assert "instructions" not in value
    assert value["capabilities"] == {"tools": {"listChanged": True}}


async def test_only_what_is_shown_can_be_subscribed_to() -> None:
    async with gateway(Profile("p", resources=("db://*",))) as made:
        listen, heard = (
            ask("subscriptions/listen", notifications={"resourceSubscriptions": ["db://a", "file://a"]}),
            Heard(),
        )
        listen.emit = heard
        task = asyncio.create_task(made.handle(listen))
        assert (await heard.next())[1] == {"notifications": {"resourceSubscriptions": ["db://a"]}}
        task.cancel()
        await asyncio.wait([task])


def test_a_catalog_is_cut_once() -> None:
    mount, profile = Mount(Fixed("one", ALL), "gh_"), Profile("p", tools=("*",))
    assert profile.part(mount, ALL) is profile.part(mount, ALL)
    assert [each.name for each in profile.part(mount, REST).tools] == ["hidden"]


def test_a_source_that_shows_less_shows_no_more_in_a_profile() -> None:
    mount = Mount(Fixed("one", ALL), "gh_", ("search",))
    assert [each.name for each in Profile("p", tools=("*",)).part(mount, ALL).tools] == ["search"]


def test_callers_own_what_they_have_in_a_profile_there_alone() -> None:
    ann = Caller("ann", frozenset({"read"}), {"a": 1})
    inside = Profile("p").caller(ann)
    assert inside.subject not in ("ann", Profile("q").caller(ann).subject, Profile("p").caller(ANONYMOUS).subject)
    assert (inside.scopes, inside.claims) == (ann.scopes, ann.claims)
    assert Gateway([]).inside(ann) is ann
    assert Gateway([], profile=Profile("p")).inside(ann) == inside


async def test_a_cursor_of_the_whole_is_none_of_a_profile() -> None:
    whole = Gateway([Mount(Fixed("one", ALL), "gh_")], page_size=1)
    part = Gateway(whole.mounts, seal=whole.seal, page_size=1, profile=Profile("p", tools=("gh_*",)))
    async with whole:
        cursor = (await whole.handle(ask("tools/list"))).value["nextCursor"]
        assert await refused(part, "tools/list", cursor=cursor) == "invalid cursor"
        cursor = (await part.handle(ask("tools/list"))).value["nextCursor"]
        assert await refused(whole, "tools/list", cursor=cursor) == "invalid cursor"
        assert (await part.handle(ask("tools/list", cursor=cursor))).value["tools"]


async def test_whatever_is_named_by_nobody_has_no_method() -> None:
    async with gateway(Profile("p", tools=("*",))) as made:
        with pytest.raises(RuneError):
            await made.handle(Request("tools/everything"))
