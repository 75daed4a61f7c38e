"""The repair of JSON as a plugin: which texts it touches, and which it leaves alone."""

from __future__ import annotations

import pytest

from rune.errors import ConfigError
from rune.plugin import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
    ToolPreInvokePayload,
)
from rune.plugins.json_repair import JsonRepairPlugin

CONTEXT = PluginContext(GlobalContext())


def plugin(**config):
    return JsonRepairPlugin(PluginConfig(name="json_repair", config=config))


async def answered(plugin, text):
    result = {"content": [{"type": "text", "text": text}], "structuredContent": {"text": text}}
    changed = (await plugin.tool_post_invoke(ToolPostInvokePayload("t", result), CONTEXT)).modified_payload
    return text if changed is None else changed.result["content"][0]["text"]


async def test_what_means_to_be_json_is_repaired():
    assert await answered(plugin(), " {a: 1,") == '{"a": 1}'
    assert await answered(plugin(), "```json\n[1, 2\n```") == "[1, 2]"


@pytest.mark.parametrize("text", ["see {a: 1}", "plain words", '{"a": 1}', "[", "", "[" * 1000])
async def test_all_else_is_left_alone(text):
    assert await answered(plugin(), text) == ("[]" if text == "[" else text)


async def test_structured_content_is_left_alone():
    result = {"content": [], "structuredContent": {"text": "{a: 1"}}
    assert (await plugin().tool_post_invoke(ToolPostInvokePayload("t", result), CONTEXT)).modified_payload is None


async def test_anywhere_and_arguments_are_asked_for():
    assert await answered(plugin(anywhere=True), "see {a: 1}") == '{"a": 1}'
    call = ToolPreInvokePayload("t", {"body": "{a: 1"})
    assert (await plugin().tool_pre_invoke(call, CONTEXT)).modified_payload is None
    assert (await plugin(arguments=True).tool_pre_invoke(call, CONTEXT)).modified_payload.args == {"body": '{"a": 1}'}


async def test_resources_are_repaired():
    content = [{"uri": "x://{", "text": "{a: 1", "mimeType": "[x"}]
    changed = await plugin().resource_post_fetch(ResourcePostFetchPayload("x://{", content), CONTEXT)
    assert changed.modified_payload.content == [{"uri": "x://{", "text": '{"a": 1}', "mimeType": "[x"}]


@pytest.mark.parametrize("config", [{"where": 1}, {"anywhere": 1}])
def test_a_config_that_cannot_be_is_refused(config):
    with pytest.raises(ConfigError):
        plugin(**config)
