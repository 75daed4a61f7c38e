"""Plugins by themselves: order, modes, conditions, deadlines, what goes wrong, and what a plugin may change."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace

import msgspec
import pytest

from rune.errors import ConfigError, RuneError
from rune.pipeline import Blocked, Pipeline
from rune.plugin import (
    Plugin,
    PluginCondition,
    PluginConfig,
    PluginMode,
    PluginResult,
    PluginViolation,
)
from rune.request import Caller, Request
from rune.source import Target
from rune.turn import Turn

HOOK = "tool_pre_invoke"


class Doing(Plugin):
    """Does what the test says."""

    def __init__(self, config, do):
        super().__init__(config)
        self.do = do
        self.seen = []

    async def tool_pre_invoke(self, payload, context):
        self.seen.append((payload.name, dict(payload.args)))
        answer = self.do(payload, context)
        return await answer if asyncio.iscoroutine(answer) else answer


def nothing(payload, context):
    return PluginResult()


def marking(mark):
    def do(payload, context):
        payload.args["marks"] = [*payload.args.get("marks", []), mark]
        return PluginResult(modified_payload=payload)

    return do


def refusing(payload, context):
    return PluginResult(continue_processing=False, violation=PluginViolation("no", "because", "code"))


def plug(do, name="it", **settings):
    config = PluginConfig(name=name, **settings)
    return Doing(config, do), config


def turn(tools="", server_ids=None, user_patterns=""):
    target = None if server_ids is None else Target(SimpleNamespace(name=server_ids), "it")
    request = Request("tools/call", caller=Caller(user_patterns), target=target)
    return Turn.of(request, "tools", tools) if tools else Turn.of(request)


async def ask(pipeline, args=None, name="tool", facts=None):
    raw = {"name": msgspec.json.encode(name), "args": msgspec.json.encode(args or {})}
    this = turn(**(facts or {}))
    changed = await pipeline.run(HOOK, raw, this)
    return msgspec.json.decode(raw["args"]), changed, this


async def test_plugins_run_by_priority_over_all_modes_and_each_sees_what_the_last_one_made():
    pipeline = Pipeline(
        [
            plug(marking("late"), "late", priority=300),
            plug(marking("early"), "early", priority=1, mode="transform"),
            plug(marking("middle"), "middle", priority=50, mode="enforce"),
        ]
    )
    args, changed, this = await ask(pipeline)
    assert args == {"marks": ["early", "middle", "late"]}
    assert changed == {"args"}
    assert [(record.plugin, record.status) for record in this.records] == [
        ("early", "changed"), ("middle", "changed"), ("late", "changed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "blocks", "changes"),
    [
        ("sequential", True, True), ("enforce", True, True), ("enforce_ignore_error", True, True),
        ("transform", False, True), ("permissive", False, True), ("audit", False, False),
        ("concurrent", True, False), ("fire_and_forget", False, False),
    ],
)  # fmt: skip
async def test_the_rights_of_each_mode(mode, blocks, changes):
    async with Pipeline([plug(refusing, mode=mode)]) as pipeline:
        if blocks:
            with pytest.raises(Blocked, match="blocked by it: no"):
                await ask(pipeline)
        else:
            await ask(pipeline)
    async with Pipeline([plug(marking("x"), mode=mode)]) as pipeline:
        args, changed, _ = await ask(pipeline)
        assert bool(changed) is changes
        assert ("marks" in args) is changes


def test_every_mode_has_its_rights():
    assert {mode for mode in PluginMode if mode.blocks and mode.changes} == {
        "sequential", "enforce", "enforce_ignore_error",
    }  # fmt: skip


async def test_a_disabled_plugin_is_never_asked():
    plugin, config = plug(refusing, mode="disabled")
    await ask(Pipeline([(plugin, config)]))
    assert plugin.seen == []


async def test_what_a_plugin_does_to_its_payload_without_handing_it_back_is_forgotten():
    def scribble(payload, context):
        payload.args["a"] = "scribbled"
        payload.name = "other"
        return PluginResult()

    reader, config = plug(nothing, "reader", priority=200)
    args, changed, _ = await ask(Pipeline([plug(scribble, "scribbler"), (reader, config)]), {"a": 1})
    assert (args, changed) == ({"a": 1}, set())
    assert reader.seen == [("tool", {"a": 1})]


async def test_fields_that_are_not_for_plugins_are_left_as_they_were(caplog):
    def headers(payload, context):
        payload.headers["authorization"] = "stolen"
        return PluginResult(modified_payload=payload)

    with caplog.at_level(logging.WARNING, "rune.plugins"):
        _, changed, _ = await ask(Pipeline([plug(headers)]))
    assert changed == set()
    assert "headers is not for plugins to change" in caplog.text


@pytest.mark.parametrize(
    ("condition", "facts", "runs"),
    [
        ({"tools": ("gh_*",)}, {"tools": "gh_search"}, True),
        ({"tools": ("gh_*",)}, {"tools": "jira_search"}, False),
        ({"tools": ("gh_*",)}, {}, True),
        ({"tools": ("gh_*",), "user_patterns": ("ada",)}, {"tools": "gh_x", "user_patterns": "bob"}, False),
        ({"server_ids": ("a", "b")}, {"server_ids": "b"}, True),
    ],
)
async def test_conditions(condition, facts, runs):
    plugin, config = plug(nothing, conditions=(PluginCondition(**condition),))
    await ask(Pipeline([(plugin, config)]), facts=facts)
    assert bool(plugin.seen) is runs


async def test_several_conditions_are_alternatives():
    conditions = (PluginCondition(tools=("a",)), PluginCondition(tools=("b",)))
    plugin, config = plug(nothing, conditions=conditions)
    for name in ("a", "b", "c"):
        await ask(Pipeline([(plugin, config)]), facts={"tools": name})
    assert len(plugin.seen) == 2


def raising(payload, context):
    raise ValueError("secret value 123-45-6789")


async def test_a_plugin_that_fails_fails_the_request_and_does_not_tell_the_client_why(caplog):
    with pytest.raises(RuneError, match="plugin it failed") as caught:
        await ask(Pipeline([plug(raising)]))
    assert "secret" not in str(caught.value)
    assert "ValueError: secret value" in caplog.text


@pytest.mark.parametrize("settings", [{"on_error": "ignore"}, {"mode": "enforce_ignore_error"}])
async def test_a_failure_may_be_ignored(settings):
    plugin, config = plug(raising, **settings)
    pipeline = Pipeline([(plugin, config)])
    await ask(pipeline)
    await ask(pipeline)
    assert len(plugin.seen) == 2
    assert pipeline.plugins[0].failed == 2


async def test_a_failure_may_disable_the_plugin():
    plugin, config = plug(raising, on_error="disable")
    pipeline = Pipeline([(plugin, config)])
    await ask(pipeline)
    await ask(pipeline)
    assert len(plugin.seen) == 1


async def test_a_plugin_that_hangs_is_late():
    def hang(payload, context):
        return asyncio.sleep(3600)

    with pytest.raises(RuneError, match="plugin it failed"):
        await ask(Pipeline([plug(hang, deadline=0.01)]))


async def test_what_a_plugin_says_too_late_does_not_count_even_if_it_never_waits():
    def dawdle(payload, context):
        time.sleep(0.02)
        return marking("late")(payload, context)

    with pytest.raises(RuneError, match="plugin it failed"):
        await ask(Pipeline([plug(dawdle, deadline=0.01)]))
    args, changed, this = await ask(Pipeline([plug(dawdle, deadline=0.01, on_error="ignore")]))
    assert (args, changed, [record.status for record in this.records]) == ({}, set(), ["failed"])


class Glancing(Doing):
    """Tells from the JSON alone."""

    def __init__(self, config, do, glance):
        super().__init__(config, do)
        self.glance = glance
        self.glances = []

    def passing(self, hook):
        def passes(raw, caller):
            self.glances.append((hook, bytes(raw["args"]), caller.subject))
            return self.glance(raw)

        return passes


def glancing(glance, do=nothing, name="it", **settings):
    config = PluginConfig(name=name, **settings)
    return Glancing(config, do, glance), config


async def test_a_plugin_that_can_tell_from_the_json_is_not_asked():
    quiet = [glancing(lambda raw: True, name=name) for name in ("a", "b")]
    pipeline = Pipeline(quiet)
    await ask(pipeline, {"n": 1}, facts={"user_patterns": "ada"})
    await ask(pipeline, {"n": 2}, facts={"user_patterns": "bob"})
    for plugin, _ in quiet:
        assert plugin.glances == [(HOOK, b'{"n":1}', "ada"), (HOOK, b'{"n":2}', "bob")]
        assert plugin.seen == []
    assert [(running.calls, running.seconds > 0) for running in pipeline.plugins] == [(2, True)] * 2


async def test_who_has_something_to_say_is_asked_and_the_others_see_what_it_made():
    first, loud, slow = (
        glancing(lambda raw: True, name="first"),
        glancing(lambda raw: False, marking("x"), "loud"),
        plug(marking("y"), "slow"),
    )
    last = glancing(lambda raw: b"x" not in raw["args"], marking("z"), "last")
    args, _, _ = await ask(Pipeline([first, loud, slow, last]))
    assert args == {"marks": ["x", "y", "z"]}
    # Nobody is asked twice, not even by a glance: it may count.
    assert [len(each[0].glances) for each in (first, loud, last)] == [1, 1, 1]
    assert last[0].glances[0][1] == b'{"marks":["x","y"]}'


async def test_conditions_and_sizes_hold_for_glances_too():
    plugin, config = glancing(lambda raw: True, conditions=(PluginCondition(tools=("a",)),))
    pipeline = Pipeline([(plugin, config)])
    for name in ("a", "b"):
        await ask(pipeline, facts={"tools": name})
    assert len(plugin.glances) == 1
    small, config = glancing(lambda raw: True, max_content_size=10)
    with pytest.raises(RuneError, match="plugin it failed"):
        await ask(Pipeline([(small, config)]), {"text": "x" * 100})
    assert small.glances == []


async def test_a_glance_that_fails_is_judged_like_the_hook(caplog):
    def broken(raw):
        raise ValueError("secret 42")

    with pytest.raises(RuneError, match="plugin it failed") as caught:
        await ask(Pipeline([glancing(broken)]))
    assert "secret" not in str(caught.value)
    assert "ValueError: secret 42" in caplog.text
    after = glancing(lambda raw: False, marking("x"), "after")
    pipeline = Pipeline([glancing(broken, on_error="disable"), after])
    for times in (1, 2):
        args, _, _ = await ask(pipeline)
        assert (args, len(after[0].glances)) == ({"marks": ["x"]}, times)
    assert [(running.failed, running.disabled) for running in pipeline.plugins] == [(1, True), (0, False)]


async def test_a_plugin_gets_no_more_than_it_takes():
    plugin, config = plug(nothing, max_content_size=10)
    with pytest.raises(RuneError, match="plugin it failed"):
        await ask(Pipeline([(plugin, config)]), {"text": "x" * 100})
    assert plugin.seen == []


async def test_concurrent_neighbours_run_at_the_same_time_and_one_no_is_enough():
    barrier = asyncio.Barrier(2)

    async def meet(payload, context):
        async with asyncio.timeout(30):
            await barrier.wait()
        return PluginResult()

    both = [plug(meet, name, mode="concurrent") for name in ("one", "two")]
    await ask(Pipeline(both))
    with pytest.raises(Blocked):
        await ask(Pipeline([*both[:1], plug(refusing, "no", mode="concurrent")]))


async def test_nobody_waits_for_fire_and_forget_and_it_ends_with_the_pipeline():
    started, gone = asyncio.Event(), asyncio.Event()

    async def linger(payload, context):
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            gone.set()

    async with Pipeline([plug(linger, mode="fire_and_forget", deadline=3600)]) as pipeline:
        await ask(pipeline)
        async with asyncio.timeout(30):
            await started.wait()
    assert gone.is_set()


async def test_state_is_the_plugins_own_and_lasts_for_the_request():
    def count(payload, context):
        context.state["n"] = context.state.get("n", 0) + 1
        context.global_context.state["all"] = context.global_context.state.get("all", 0) + 1
        return PluginResult()

    pipeline = Pipeline([plug(count, "a"), plug(count, "b")])
    raw = {"name": b'"t"', "args": b"{}"}
    this = turn()
    for _ in range(2):
        await pipeline.run(HOOK, raw, this)
    assert {name: context.state["n"] for name, context in this.contexts.items()} == {"a": 2, "b": 2}
    assert this.shared.state == {"all": 4}
    assert turn().contexts == {}


async def test_plugins_are_initialized_once_and_shut_down_once():
    said = []

    class Living(Plugin):
        async def initialize(self):
            said.append("up")

        async def shutdown(self):
            said.append("down")

    config = PluginConfig(name="it")
    async with Pipeline([(Living(config), config)]):
        assert said == ["up"]
    assert said == ["up", "down"]


@pytest.mark.parametrize(("hook", "problem"), [("nonsense", "no hook nonsense"), ("tool_post_invoke", "has no tool")])
def test_hooks_that_are_not_there(hook, problem):
    with pytest.raises(ConfigError, match=problem):
        Pipeline([plug(nothing, hooks=(hook,))])
