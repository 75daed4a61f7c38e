"""The scanner for secrets as a plugin: it masks, refuses or reports, and understands the keys of others."""

from __future__ import annotations

import pytest

from rune.errors import ConfigError
from rune.plugin import GlobalContext, LogPayload, PluginConfig, PluginContext, ToolPostInvokePayload
from rune.plugins.secrets import SecretsPlugin

CONTEXT = PluginContext(GlobalContext())
SECRET = "correct4horse"
RESULT = {"content": [{"type": "text", "text": f"password={SECRET}"}]}


def plugin(**config):
    return SecretsPlugin(PluginConfig(name="secrets", config=config))


async def answered(plugin):
    return await plugin.tool_post_invoke(ToolPostInvokePayload("t", RESULT), CONTEXT)


async def test_it_masks():
    changed = (await answered(plugin())).modified_payload.result
    assert changed == {"content": [{"type": "text", "text": "password=[SECRET]"}]}
    note = await plugin(redaction="#").log_pre_send(LogPayload("t", {"pwd": f"pwd: {SECRET}"}), CONTEXT)
    assert note.modified_payload.data == {"pwd": "pwd: #"}


@pytest.mark.parametrize(
    "config", [{"action": "block"}, {"redact": False}, {"block_on_detection": True, "redact": True}]
)
async def test_it_refuses_and_says_only_the_kind(config):
    result = await answered(plugin(**config))
    assert not result.continue_processing
    assert result.violation.reason == "holds a secret: named_secret"
    assert SECRET not in repr(result)


@pytest.mark.parametrize("config", [{"action": "report"}, {"block_on_detection": False}])
async def test_it_reports(config):
    result = await answered(plugin(**config))
    assert result.continue_processing
    assert result.metadata == {"secrets": {"count": 1, "kinds": ["named_secret"]}}


async def test_few_findings_may_pass():
    assert (await answered(plugin(action="block", min_findings_to_block=2))).continue_processing


async def test_the_kinds_of_others_are_understood():
    off = {"aws_secret_access_key": False, "jwt_like": True}
    assert (await answered(plugin(enabled=off, redact=True, block_on_detection=False))).modified_payload is None
    assert (await answered(plugin(enabled={}, redact=True, block_on_detection=False))).modified_payload is not None


@pytest.mark.parametrize(
    "config",
    [{"words": 1}, {"kinds": ["charm"]}, {"action": "shout"}, {"enabled": {"x": 1}}, {"field_denylist": ["a"]}],
)
def test_a_config_that_cannot_be_is_refused(config):
    with pytest.raises(ConfigError):
        plugin(**config)
