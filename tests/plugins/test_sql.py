"""The sanitizer of SQL as a plugin: what it refuses, where it looks, and the keys of others."""

from __future__ import annotations

import pytest

from rune.errors import ConfigError
from rune.plugin import GlobalContext, PluginConfig, PluginContext, PromptPrehookPayload, ToolPreInvokePayload
from rune.plugins.sql import SqlSanitizer

CONTEXT = PluginContext(GlobalContext())


def sanitizer(**config):
    return SqlSanitizer(PluginConfig(name="sql_sanitizer", config=config))


async def asked(plugin, **args):
    return await plugin.tool_pre_invoke(ToolPreInvokePayload("t", args), CONTEXT)


@pytest.mark.parametrize("text", ["SELECT 1; DROP TABLE t", "DELETE FROM t", "x = 1 OR 1=1", "TRUNCATE t"])
async def test_what_does_too_much_is_refused(text):
    result = await asked(sanitizer(), deep=[{"sql": text}])
    assert not result.continue_processing
    assert text not in result.violation.reason
    prompted = await sanitizer().prompt_pre_fetch(PromptPrehookPayload("p", {"sql": text}), CONTEXT)
    assert not prompted.continue_processing


@pytest.mark.parametrize(
    "text", ["SELECT 'DROP TABLE t'", "drop me a line; don't call -- ever", "DELETE FROM t WHERE a = 1"]
)
async def test_what_does_not_passes(text):
    assert (await asked(sanitizer(refuse=["several", "comment", "unterminated", "drop"]), sql=text)).continue_processing


async def test_only_chosen_fields_are_looked_at():
    plugin = sanitizer(fields=["sql"])
    assert (await asked(plugin, note="DROP TABLE t", more={"note": "DROP TABLE t"})).continue_processing
    assert not (await asked(plugin, more=[{"sql": {"text": "DROP TABLE t"}}])).continue_processing


async def test_reading_alone_may_be_allowed():
    plugin = sanitizer(refuse=["insert", "update", "delete", "create"])
    assert (await asked(plugin, sql="SELECT a FROM t")).continue_processing
    assert not (await asked(plugin, sql="WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a")).continue_processing


async def test_the_keys_of_others_are_understood():
    plugin = sanitizer(
        fields=None, blocked_statements=["\\bDROP\\b"], block_delete_without_where=False, strip_comments=True,
        block_update_without_where=True, require_parameterization=False, block_on_violation=True,
    )  # fmt: skip
    assert (await asked(plugin, sql="DELETE FROM t")).continue_processing
    assert (await asked(plugin, sql="ALTER TABLE t ADD a int")).continue_processing
    assert not (await asked(plugin, sql="UPDATE t SET a = 1")).continue_processing
    assert not (await asked(plugin, sql="DROP TABLE t")).continue_processing


async def test_it_may_only_say_what_it_found():
    result = await asked(sanitizer(block_on_violation=False), sql="DROP TABLE t")
    assert result.continue_processing
    assert result.metadata == {"sql_issues": ["drop"]}


@pytest.mark.parametrize(
    "config",
    [
        {"words": []}, {"refuse": ["everything"]}, {"refuse": "drop"}, {"fields": [1]}, {"dialect": "klingon"},
        {"blocked_statements": ["DR.P"]}, {"require_parameterization": True},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_is_refused(config):
    with pytest.raises(ConfigError):
        sanitizer(**config)
