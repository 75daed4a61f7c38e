"""Rate limits as a plugin and by themselves: who shares a limit, who waits, and a store that several share."""

from __future__ import annotations

import asyncio

import pytest

from rune import native
from rune.errors import ConfigError, TimedOut
from rune.plugin import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    PromptPrehookPayload,
    ResourcePreFetchPayload,
    ToolPreInvokePayload,
)
from rune.plugins.rate import RateLimiter, RateLimiterPlugin, SharedRateLimiter
from rune.store import MemoryStore
from rune.stores.sqlite import SqliteStore

SLOW = 0.001
CHOICES = [
    "auto",
    "python",
    pytest.param("rust", marks=pytest.mark.skipif(not native.installed()[0], reason=native.installed()[1])),
]


def plugin(**config):
    return RateLimiterPlugin(PluginConfig(name="rate_limiter", config=config))


def who(user="ada", tenant=None, server=None):
    return PluginContext(GlobalContext(user=user, tenant_id=tenant, server_id=server))


async def asked(limiter, times, context, tool="t"):
    """How often a tool may be called."""
    results = [await limiter.tool_pre_invoke(ToolPreInvokePayload(tool, {}), context) for _ in range(times)]
    refused = [result.violation for result in results if not result.continue_processing]
    assert all(violation.code == "rate_limited" for violation in refused)
    return times - len(refused)


@pytest.mark.parametrize("implementation", CHOICES)
async def test_one_caller_does_not_use_up_what_another_has(implementation):
    limiter = plugin(requests_per_second=SLOW, burst_size=3, implementation=implementation)
    assert implementation in ("auto", limiter.implementation)
    assert await asked(limiter, 5, who("ada")) == 3
    assert await asked(limiter, 5, who("bob")) == 3
    assert await asked(limiter, 5, who("ada"), "another") == 0


@pytest.mark.parametrize(
    ("by", "other", "left"),
    [
        (["tool"], ("bob", "t"), 0),
        (["tool"], ("ada", "u"), 2),
        (["caller", "tool"], ("bob", "t"), 2),
        (["caller", "tool"], ("ada", "u"), 2),
        ([], ("bob", "u"), 0),
        (["tenant"], ("bob", "t"), 0),
    ],
)
async def test_who_shares_a_limit(by, other, left):
    limiter = plugin(requests_per_second=SLOW, burst_size=2, by=by)
    assert await asked(limiter, 3, who("ada")) == 2
    assert await asked(limiter, 3, who(other[0]), other[1]) == left


async def test_tenants_and_servers_have_limits_of_their_own():
    limiter = plugin(requests_per_second=SLOW, burst_size=1, by=["tenant", "server"])
    for tenant in ("a", "b"):
        for server in ("x", "y"):
            assert await asked(limiter, 2, who("ada", tenant, server)) == 1


async def test_rates_as_others_write_them():
    limiter = plugin(by_user="3/h", by_tool={"search_*": "1/h"})
    assert await asked(limiter, 2, who("ada"), "search_web") == 1
    assert await asked(limiter, 1, who("bob"), "search_web") == 0
    assert await asked(limiter, 3, who("cleo"), "other") == 3
    # What is for tools is not for the rest.
    prompt, resource = PromptPrehookPayload("search_it", {}), ResourcePreFetchPayload("note://1")
    assert (await limiter.prompt_pre_fetch(prompt, who("dan"))).continue_processing
    assert (await limiter.resource_pre_fetch(resource, who("dan"))).continue_processing
    assert (await limiter.resource_pre_fetch(resource, who("dan"))).continue_processing
    assert not (await limiter.prompt_pre_fetch(prompt, who("dan"))).continue_processing


async def test_who_waits_gets_through():
    limiter = plugin(requests_per_second=200, burst_size=1, wait=30)
    async with asyncio.timeout(30):
        assert await asked(limiter, 10, who()) == 10


async def test_places_are_waited_for_up_to_a_limit():
    limiter = RateLimiter(1000, 1)
    async with asyncio.timeout(30):
        await asyncio.gather(*(limiter.wait_for_slot("a") for _ in range(20)))
    slow = RateLimiter(SLOW, 1)
    assert slow.allow_request("")
    with pytest.raises(TimedOut, match="no place within 1 s"):
        await slow.wait_for_slot(timeout=1)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_store_is_shared_by_all_who_use_it_at_the_same_time(kind, tmp_path):
    async with MemoryStore() as memory, SqliteStore(tmp_path / "a.db") as one, SqliteStore(tmp_path / "a.db") as two:
        stores = [memory, memory] if kind == "memory" else [one, two]
        limiters = [SharedRateLimiter(SLOW, 5, store, "calls") for store in stores]
        taken = await asyncio.gather(*(each.reserve("ada", 0) for each in limiters for _ in range(10)))
        assert len([wait for wait in taken if wait is not None]) == 5
        assert await limiters[0].reserve("bob", 0) == 0
        assert await SharedRateLimiter(SLOW, 5, stores[0], "others").reserve("ada", 0) == 0


async def test_a_plugin_shares_only_what_it_is_told_to():
    async with MemoryStore() as store:
        left = []
        for shared in (True, False):
            pair = [plugin(requests_per_second=SLOW, burst_size=3, shared=shared) for _ in range(2)]
            for each in pair:
                each.store = store
                await each.initialize()
            left.append([await asked(each, 4, who()) for each in pair])
        assert left == [[3, 0], [3, 3]]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "has no limit"),
        ({"burst": 1}, "unknown key burst"),
        ({"requests_per_second": 0}, "requests_per_second must be a number"),
        ({"burst_size": 0}, "burst_size must be a number from 1 on"),
        ({"requests_per_second": True}, "requests_per_second must be"),
        ({"burst_size": 1, "by": ["shoe"]}, "by is a list of caller"),
        ({"by_user": "ten a day"}, "'ten a day' is no rate"),
        ({"by_user": "0/s"}, "is no rate"),
        ({"by_tool": "1/s"}, "by_tool has a rate for each tool"),
        ({"burst_size": 1, "wait": -1}, "wait must be a number"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(config, problem):
    with pytest.raises(ConfigError, match=problem):
        plugin(**config)
