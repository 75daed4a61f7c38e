"""Changes: `subscriptions/listen` of the modern era; subscriptions and changed lists of the legacy one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.wire.client import Client, Exchange, Refused, word
from tests.wire.conftest import Connect
from tests.wire.duplex import SUBSCRIPTION, DuplexClient
from tests.wire.http import HttpClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

ACK = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


async def listen(client: Client, wanted: dict[str, Any], id: Any = None) -> Exchange:
    """An acknowledged listen."""
    exchange = await client.open("subscriptions/listen", {"notifications": wanted}, id=id)
    ack = await exchange.next()
    assert ack["method"] == ACK, "the acknowledgement comes first"
    return exchange


async def change(client: Client, kind: str) -> None:
    if kind == "tools":
        name = await client.text("offer", name=word(), schema={"type": "object"}, meta={})
        await client.tool("withdraw", name=name)
    else:
        await client.tool("flicker", kind=kind, name=f"x:{word()}" if kind == "resources" else word())


@pytest.mark.parametrize("id", [None, 0, 7, "7", ""])
async def test_the_acknowledgement_names_what_is_honoured(modern: Client, id: Any) -> None:
    uri = f"note://{word()}"
    wanted = {**ALL, "resourceSubscriptions": [uri], "taskIds": [word()]}
    exchange = await listen(modern, wanted, id)
    ack = exchange.frames[0]["params"]
    # The caller owns no such task.
    assert ack["notifications"] == {**ALL, "resourceSubscriptions": [uri]}
    found = ack["_meta"][SUBSCRIPTION]
    assert found == exchange.id
    assert type(found) is type(exchange.id)
    await modern.cut(exchange)


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources"])
async def test_only_what_was_asked_for_comes(modern: Client, kind: str) -> None:
    exchange = await listen(modern, {f"{kind}ListChanged": True})
    other = await listen(modern, {})
    assert other.frames[0]["params"]["notifications"] == {}
    for each in ("tools", "prompts", "resources"):
        await change(modern, each)
    for _ in range(2):
        note = await exchange.next()
        assert note["method"] == f"notifications/{kind}/list_changed"
        assert note["params"]["_meta"][SUBSCRIPTION] == exchange.id
    assert len(exchange.frames) == 3
    assert len(other.frames) == 1
    await modern.cut(exchange)
    await modern.cut(other)


async def test_updates_of_the_named_resources_only(modern: Client) -> None:
    one, two, three = (f"note://{word()}" for _ in range(3))
    first = await listen(modern, {"resourceSubscriptions": [one, two]})
    second = await listen(modern, {"resourceSubscriptions": [two]})
    for uri in (three, one, two):
        await modern.tool("touch", uri=uri)
    assert [(await first.next(UPDATED))["params"]["uri"] for _ in range(2)] == [one, two]
    note = await second.next()
    assert note["params"]["uri"] == two
    assert note["params"]["_meta"][SUBSCRIPTION] == second.id
    assert len(second.frames) == 2
    await modern.cut(first)
    await modern.cut(second)


async def test_a_listen_that_was_ended_says_nothing_more(modern: Client) -> None:
    uri = f"note://{word()}"
    exchange, other = (
        await listen(modern, {"resourceSubscriptions": [uri]}),
        await listen(modern, {"resourceSubscriptions": [uri]}),
    )
    await modern.cut(exchange)
    await modern.tool("echo", text="x")
    await modern.tool("touch", uri=uri)
    await other.next(UPDATED)
    assert len(exchange.frames) == 1
    assert exchange.response is None
    await modern.cut(other)


async def test_neither_progress_nor_log_lines_on_a_listen(modern: Client) -> None:
    exchange = await listen(modern, ALL)
    await modern.tool("logs", lines=[["error", word()]], logger="x")
    await change(modern, "prompts")
    await exchange.next("notifications/prompts/list_changed")
    assert len(exchange.frames) <= 3
    assert {frame["method"] for frame in exchange.frames} == {ACK, "notifications/prompts/list_changed"}
    await modern.cut(exchange)


@pytest.mark.parametrize(
    "params",
    [{}, {"notifications": None}, {"notifications": []}, {"notifications": {"toolsListChanged": "yes"}},
     {"notifications": {"resourceSubscriptions": "note://1"}}, {"notifications": {"resourceSubscriptions": [7]}}],
)  # fmt: skip
async def test_a_malformed_filter(modern: Client, params: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        await modern.request("subscriptions/listen", params)
    assert refused.value.code == -32602


async def test_a_list_that_has_changed_is_the_new_one_at_once(modern: Client) -> None:
    exchange = await listen(modern, {"toolsListChanged": True})
    name = await modern.text("offer", name=word(), schema={"type": "object"}, meta={})
    await exchange.next("notifications/tools/list_changed")
    assert (await modern.tool(name, x=1))["structuredContent"] == {"x": 1}
    await modern.tool("withdraw", name=name)
    await exchange.next("notifications/tools/list_changed")
    with pytest.raises(Refused):
        await modern.tool(name, x=1)
    await modern.cut(exchange)


# --- legacy ----------------------------------------------------------------------------------------------------------


async def test_legacy_subscriptions(legacy: Client) -> None:
    await legacy.hear()
    one, two = f"note://{word()}", f"note://{word()}"
    assert await legacy.request("resources/subscribe", {"uri": one}) == {}
    assert await legacy.request("resources/subscribe", {"uri": one}) == {}
    await legacy.request("resources/subscribe", {"uri": two})
    await legacy.tool("touch", uri=one)
    assert (await legacy.heard(UPDATED))["params"] == {"uri": one}
    assert await legacy.request("resources/unsubscribe", {"uri": one}) == {}
    assert await legacy.request("resources/unsubscribe", {"uri": one}) == {}
    await legacy.tool("touch", uri=one)
    await legacy.tool("touch", uri=two)
    assert (await legacy.heard(UPDATED))["params"] == {"uri": two}
    await legacy.request("resources/unsubscribe", {"uri": two})
    for params in ({}, {"uri": 7}, {"uri": None}):
        with pytest.raises(Refused) as refused:
            await legacy.request("resources/subscribe", params)
        assert refused.value.code == -32602


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources"])
async def test_legacy_clients_hear_of_changed_lists(legacy: Client, kind: str) -> None:
    await legacy.hear()
    await change(legacy, kind)
    method = f"notifications/{kind}/list_changed"
    for _ in range(2):
        assert SUBSCRIPTION not in (await legacy.heard(method)).get("params", {}).get("_meta", {})


async def test_two_sessions_hear_only_their_own_subscriptions(connect: Connect) -> None:
    one, two = await connect("http", "2025-11-25"), await connect("http", "2025-03-26")
    await one.hear()
    await two.hear()
    uris = [f"note://{word()}", f"note://{word()}"]
    await one.request("resources/subscribe", {"uri": uris[0]})
    await two.request("resources/subscribe", {"uri": uris[1]})
    for uri in random.sample(uris, 2):
        await two.tool("touch", uri=uri)
    assert (await one.heard(UPDATED))["params"]["uri"] == uris[0]
    assert (await two.heard(UPDATED))["params"]["uri"] == uris[1]
    assert one.inbox.empty()
    assert two.inbox.empty()


async def test_what_came_while_no_stream_was_open_is_not_lost(connect: Connect) -> None:
    client = await connect("http", "2025-11-25")
    uri = f"note://{word()}"
    await client.request("resources/subscribe", {"uri": uri})
    await client.tool("touch", uri=uri)
    await client.hear()
    assert (await client.heard(UPDATED))["params"]["uri"] == uri


async def test_both_eras_listen_on_one_connection(connect: Connect) -> None:
    for wire in ("mixed-ws", "mixed-stdio"):
        modern = await connect(wire, "2026-07-28")
        assert isinstance(modern, DuplexClient)
        legacy = modern.connection.legacy
        assert legacy is not None
        uri = f"note://{word()}"
        exchange = await listen(modern, {"resourceSubscriptions": [uri], "toolsListChanged": True})
        await legacy.request("resources/subscribe", {"uri": uri})
        await legacy.tool("touch", uri=uri)
        assert (await exchange.next(UPDATED))["params"]["_meta"][SUBSCRIPTION] == exchange.id
        assert (await legacy.heard(UPDATED))["params"] == {"uri": uri}
        await legacy.request("resources/unsubscribe", {"uri": uri})
        await modern.cut(exchange)


async def test_an_open_stream_is_kept_alive_by_comments_only(connect: Connect) -> None:
    """The reader of the test would fail on anything else; here it is enough that an idle stream stays open."""
    client = await connect("http", "2026-07-28")
    assert isinstance(client, HttpClient)
    exchange = await listen(client, ALL)
    assert exchange.work is not None
    await asyncio.wait([exchange.work], timeout=0.2)
    assert not exchange.work.done()
    assert exchange.status == 200
    assert exchange.headers["Cache-Control"].startswith("no-cache")
    await client.cut(exchange)
