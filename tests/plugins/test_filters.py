"""The filters that go through every text: what they change, what they leave, and that nothing else is touched."""

from __future__ import annotations

from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune import native
from rune.errors import ConfigError, TimedOut
from rune.plugin import (
    GlobalContext,
    ListPayload,
    PluginConfig,
    PluginContext,
    ToolPostInvokePayload,
    ToolPreInvokePayload,
)
from rune.plugins.deny import DenyList
from rune.plugins.pii import PiiFilterPlugin
from rune.plugins.regex import RegexFilter
from rune.plugins.texts import UNTOUCHED, mapped
from rune.request import ANONYMOUS
from tests.kernels.texts import texts
from tests.sizes import LONG

CONTEXT = PluginContext(GlobalContext())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def regex(*words):
    entries = [dict(zip(("search", "replace"), each, strict=False)) for each in words]
    return RegexFilter(PluginConfig(name="regex_filter", config={"words": entries}))


def deny(**config):
    return DenyList(PluginConfig(name="deny_list", config=config))


@given(JSON)
def test_a_value_without_anything_to_change_is_the_very_same_object(value):
    assert mapped(value, lambda text: text) is value


@given(JSON)
def test_only_texts_change_and_the_shape_stays(value):
    shout = mapped(value, lambda text: text + "!")
    assert mapped(shout, lambda text: text[:-1]) == value


def test_members_that_programs_read_are_left_alone():
    block = {"type": "image", "data": "abc", "mimeType": "image/png", "alt": "abc"}
    assert mapped(block, lambda text: "x", UNTOUCHED) == {**block, "alt": "x"}


async def test_words_are_replaced_in_their_order():
    plugin = regex(("b+", "c"), ("c", "d"))
    payload = ToolPostInvokePayload(
        "t", {"content": [{"type": "text", "text": "abbc"}], "structuredContent": {"x": ["b"]}}
    )
    result = await plugin.tool_post_invoke(payload, CONTEXT)
    assert result.modified_payload.result == {
        "content": [{"type": "text", "text": "add"}], "structuredContent": {"x": ["d"]},
    }  # fmt: skip


async def test_groups_may_be_used_in_a_replacement():
    plugin = regex((r"(\w+)@(\w+)", r"\2 at \1"))
    payload = ToolPreInvokePayload("t", {"who": "ada@home"})
    assert (await plugin.tool_pre_invoke(payload, CONTEXT)).modified_payload.args == {"who": "home at ada"}


@pytest.mark.parametrize("words", [[("(", "")], [("a", r"\1")], [("a",)], []])
def test_words_that_cannot_be_are_refused_at_the_start(words):
    with pytest.raises(ConfigError):
        regex(*words)


async def test_a_pattern_that_a_text_keeps_busy_fails_and_is_told_of_at_the_start(caplog):
    caplog.set_level("WARNING", "rune.plugins")
    config = {"words": [{"search": r"(a)(?:\1\1?)+b", "replace": ""}], "deadline": 0.1}
    plugin = RegexFilter(PluginConfig(name="words", config=config))
    if native.choose() is not None:
        assert "Python's re, with a deadline: groupref" in caplog.text
    assert plugin.implementation == "python"
    with pytest.raises(TimedOut):
        await plugin.tool_pre_invoke(ToolPreInvokePayload("t", {"who": "a" * 60}), CONTEXT)
    assert await plugin.tool_pre_invoke(ToolPreInvokePayload("t", {"who": "aab"}), CONTEXT)
    await plugin.shutdown()


@pytest.mark.parametrize("deadline", [0, -1, True, "1", 61])
def test_deadlines_that_cannot_be_are_refused(deadline):
    with pytest.raises(ConfigError, match="deadline"):
        RegexFilter(PluginConfig(name="x", config={"words": [{"search": "a", "replace": ""}], "deadline": deadline}))


async def test_denied_words_are_found_in_any_case_and_depth():
    plugin = deny(words=["Drop Table"])
    for args in ({"q": "x; DROP TABLE y"}, {"deep": [{"er": "drop table"}]}):
        result = await plugin.tool_pre_invoke(ToolPreInvokePayload("t", args), CONTEXT)
        assert not result.continue_processing
        assert "drop" not in result.violation.reason.lower()
    assert (
        await plugin.tool_pre_invoke(ToolPreInvokePayload("t", {"q": "drop the table"}), CONTEXT)
    ).continue_processing


async def test_denied_tools_are_neither_listed_nor_called():
    plugin = deny(tools=["gh_delete_*"])
    items = [{"name": "gh_delete_repo"}, {"name": "gh_search"}]
    result = await plugin.tools_post_list(ListPayload("tools/list", items), CONTEXT)
    assert result.modified_payload.items == [{"name": "gh_search"}]
    assert not (await plugin.tool_pre_invoke(ToolPreInvokePayload("gh_delete_repo", {}), CONTEXT)).continue_processing


def test_payloads_are_plain_values():
    assert msgspec.json.encode(ToolPreInvokePayload("t", {"a": 1})) == b'{"name":"t","args":{"a":1},"headers":{}}'


@pytest.mark.parametrize("implementation", ["python", "auto"])
def test_what_passes_undecoded_is_what_would_not_be_changed(implementation):
    plugin = PiiFilterPlugin(PluginConfig(name="pii", config={"implementation": implementation}))
    passes, drawn, passed = plugin.passing("tool_pre_invoke"), texts(9), 0
    for one, two in islice(zip(drawn, drawn, strict=False), 200_000 if LONG else 10_000):
        if "\ud800" in one + two:
            continue
        for value in ({"text": one}, {one: two, "n": 41111111}, {"tel": [two, one], "x": 1.5}):
            if passes({"name": b'"t"', "args": msgspec.json.encode(value)}, ANONYMOUS):
                passed += 1
                assert mapped(value, plugin.text) is value, value
    assert passed > 1000


async def test_what_passes_undecoded_would_not_be_refused():
    plugin, passed = deny(words=["Tel", 'a"b', "KEY", "é"], tools=["x_*"]), 0
    passes = plugin.passing("tool_pre_invoke")
    for text in islice(texts(10), 5000):
        if "\ud800" in text:
            continue
        raw = {"name": b'"t"', "args": msgspec.json.encode({"a": [text]})}
        if passes(raw, ANONYMOUS):
            passed += 1
            answer = await plugin.tool_pre_invoke(ToolPreInvokePayload("t", {"a": [text]}), CONTEXT)
            assert answer.continue_processing
    assert passed > 500


def test_what_an_escape_stands_for_is_looked_at():
    pii, words = PiiFilterPlugin(PluginConfig(name="pii")), deny(words=["drop table"])
    clean, hidden = b'{"a":"clean"}', rb'{"a":"ada\u0040example.org dr\u006fp table"}'
    for plugin in (pii, words):
        passes = plugin.passing("tool_pre_invoke")
        for args, passed in ((clean, True), (hidden, False), (rb'{"a":"a line\nand \u00e9"}', True)):
            assert passes({"name": b'"t"', "args": args}, ANONYMOUS) is passed
    named = deny(tools=["x_*"]).passing("tool_pre_invoke")
    assert not named({"name": b'"x_y"', "args": clean}, ANONYMOUS)
    assert not named({"name": rb'"\u0078_y"', "args": clean}, ANONYMOUS)
    assert named({"name": b'"y_x"', "args": clean}, ANONYMOUS)
    # Pieces of a text have to be held, whatever they look like; patterns of others may look beyond quotes.
    assert pii.passing("progress_pre_send") is None
    assert regex(("^a", "b")).passing("tool_pre_invoke") is None
