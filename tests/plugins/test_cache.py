"""Answers that are kept: for whom, how long, and which never are."""

from __future__ import annotations

import asyncio

import pytest

from rune import Context, Server, ToolError
from rune.errors import ConfigError
from rune.plugin import PluginCondition, PluginConfig
from rune.plugins.cache import Cache
from rune.plugins.pii import PiiFilterPlugin
from tests.plugins.gate import call, gate, text

READS = {"readOnlyHint": True}


def counting():
    """A server whose answers show how often it was asked."""
    server, calls = Server("counting"), []

    def count(name):
        calls.append(name)
        return calls.count(name)

    @server.tool(annotations=READS)
    async def look(what: str, ctx: Context) -> str:
        return f"{ctx.caller.subject} {what} {count('look')}"

    @server.tool
    async def guess(what: str) -> str:
        return f"{what} {count('guess')}"

    @server.tool(annotations=READS)
    async def fail() -> str:
        raise ToolError(f"no {count('fail')}")

    @server.tool(annotations=READS)
    async def ask(ctx: Context) -> str:
        return f"{(await ctx.elicit('who?', str)).content} {count('ask')}"

    @server.tool(annotations=READS)
    async def mail() -> str:
        return f"ada@example.org {count('mail')}"

    server.calls = calls
    return server


async def test_an_answer_is_given_again_to_the_same_caller_and_to_nobody_else():
    async with gate(counting(), (Cache, {})) as gateway:
        assert [await text(gateway, "look", what="a") for _ in range(3)] == ["ada a 1"] * 3
        assert await text(gateway, "look", "bob", what="a") == "bob a 2"
        assert await text(gateway, "look", "bob", what="a") == "bob a 2"
        assert await text(gateway, "look", what="a") == "ada a 1"
        assert await text(gateway, "look", what="b") == "ada b 3"


async def test_other_rights_and_abilities_of_the_same_caller_are_another_question():
    async with gate(counting(), (Cache, {})) as gateway:
        seen = {
            await text(gateway, "look", what="a", scopes=scopes, capabilities=capabilities)
            for scopes in ([], ["read"], ["read", "write"])
            for capabilities in ({}, {"elicitation": {}})
            for _ in range(2)
        }
        assert len(seen) == 6


async def test_the_order_of_arguments_does_not_matter():
    server = Server("sorted")
    calls = []

    @server.tool(annotations=READS)
    async def add(a: int, b: int) -> str:
        calls.append(1)
        return str(a + b)

    async with gate(server, (Cache, {})) as gateway:
        assert await text(gateway, "add", a=1, b=2) == await text(gateway, "add", b=2, a=1) == "3"
        assert len(calls) == 1


async def test_only_what_reads_or_is_declared_is_kept_and_what_writes_makes_it_forgotten():
    async with gate(counting(), (Cache, {})) as gateway:
        assert [await text(gateway, "guess", what="a") for _ in range(2)] == ["a 1", "a 2"]
        assert [await text(gateway, "look", what="a") for _ in range(2)] == ["ada a 1"] * 2
        await text(gateway, "guess", "bob", what="b")
        assert await text(gateway, "look", what="a") == "ada a 2"
    async with gate(counting(), (Cache, {"config": {"tools": ["gue*"]}})) as gateway:
        assert [await text(gateway, "guess", what="a") for _ in range(2)] == ["a 1"] * 2


async def test_an_answer_that_was_under_way_when_something_was_written_is_not_kept():
    server, go, begun, calls = Server("slow"), asyncio.Event(), asyncio.Event(), []

    @server.tool(annotations=READS)
    async def look() -> str:
        calls.append(1)
        begun.set()
        await go.wait()
        return str(len(calls))

    @server.tool
    async def write() -> str:
        return "written"

    async with gate(server, (Cache, {})) as gateway:
        first = asyncio.create_task(text(gateway, "look"))
        await begun.wait()
        await text(gateway, "write")
        go.set()
        assert await first == "1"
        assert [await text(gateway, "look") for _ in range(2)] == ["2", "2"]


async def test_what_failed_or_asks_is_never_kept():
    async with gate(counting(), (Cache, {})) as gateway:
        assert [await text(gateway, "fail") for _ in range(2)] == ["no 1", "no 2"]
        asking = {"elicitation": {"form": {}}}
        for _ in range(2):
            assert (await call(gateway, "ask", capabilities=asking))["resultType"] == "input_required"


async def test_answers_grow_old_and_give_way(monkeypatch):
    now = 0.0
    cache = Cache(PluginConfig(name="cache", config={"ttl": 10, "entries": 2, "bytes": 4000}), lambda: now)
    async with gate(counting(), (lambda config: cache, {"name": "cache"})) as gateway:
        assert [await text(gateway, "look", what=what) for what in "abab"] == ["ada a 1", "ada b 2"] * 2
        await text(gateway, "look", what="a")
        assert await text(gateway, "look", what="c") == "ada c 3"
        # b was used last the longest time ago.
        assert await text(gateway, "look", what="a") == "ada a 1"
        assert await text(gateway, "look", what="b") == "ada b 4"
        now = 10.0
        assert await text(gateway, "look", what="a") == "ada a 5"
        large = "x" * 600
        assert await text(gateway, "look", what=large) != await text(gateway, "look", what=large)
    assert (cache.hits, cache.misses) == (4, 7)


async def test_filters_see_what_comes_from_the_cache():
    async with gate(counting(), (Cache, {}), (PiiFilterPlugin, {"config": {"kinds": ["email"]}})) as gateway:
        assert [await text(gateway, "mail") for _ in range(2)] == ["[REDACTED] 1"] * 2


@pytest.mark.parametrize("mode", ["audit", "transform", "concurrent", "fire_and_forget"])
async def test_it_stands_around_calls_or_not_at_all(mode):
    with pytest.raises(ConfigError, match=f"cannot run as {mode}"):
        async with gate(counting(), (Cache, {"mode": mode})):
            pass
    async with gate(counting(), (Cache, {"mode": "disabled"})) as gateway:
        assert [await text(gateway, "look", what="a") for _ in range(2)] == ["ada a 1", "ada a 2"]


async def test_its_conditions_hold():
    async with gate(counting(), (Cache, {"conditions": ()})) as gateway:
        assert gateway.pipeline.wraps
    only = (PluginCondition(user_patterns=("bob",)),)
    async with gate(counting(), (Cache, {"conditions": only})) as gateway:
        assert [await text(gateway, "look", what="a") for _ in range(2)] == ["ada a 1", "ada a 2"]
        assert [await text(gateway, "look", "bob", what="a") for _ in range(2)] == ["bob a 3"] * 2


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"ttl": 0}, "ttl must be a number above 0"),
        ({"entries": True}, "entries must be"),
        ({"tools": "look"}, "tools must be a list"),
        ({"size": 1}, "unknown key size"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(config, problem):
    with pytest.raises(ConfigError, match=problem):
        Cache(PluginConfig(name="cache", config=config))
