"""`[[plugins]]` in a gateway as people run it: clients of both eras, a reload, what is wrong in a config."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time

import pytest

from rune import Client
from tests.peers import program, sdk
from tests.rig import ROOT, RUNE, rig

TOOLS = """
from rune import Context, Server

server = Server("notes")


@server.tool
async def echo(text: str) -> str:
    return f"{text} from ada@example.org"


@server.tool
async def ask(text: str, ctx: Context) -> str:
    answer = await ctx.elicit("who?", str)
    return f"{text}: {answer.content}"
"""
PLUGINS = """
[sources.notes]
python = "tools.py"
prefix = ""

[[plugins]]
use = "pii_filter"
conditions = [{ tools = ["echo", "ask"] }]

[[plugins]]
use = "deny_list"
priority = 10
config = { words = ["drop table"] }
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    path = tmp_path / "rune.toml"
    path.write_text(PLUGINS)
    return path


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
def test_a_client_that_is_not_ours_sees_masked_results(config, mode):
    with rig("--config", str(config)) as server:
        visit = [program(sdk(), "python"), str(ROOT / "tests/e2e/sdk_client.py"), mode, "call 555-234-5678", server.url]
        done = subprocess.run(visit, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["text"] == ["call [REDACTED] from [REDACTED]"]


async def test_a_call_that_asks_goes_on_although_a_plugin_changes_its_arguments(config):
    with rig("--config", str(config)) as server:
        async with Client(server.url, elicitation=lambda params: {"value": "bob@example.org"}) as client:
            assert (await client.call_tool("ask", {"text": "for ada@example.org"})).text == "for [REDACTED]: [REDACTED]"
            refused = await client.call_tool("echo", {"text": "DROP TABLE users"})
            assert (refused.is_error, refused.text) == (
                True,
                "blocked by deny_list: holds a word that is not allowed",
            )


async def test_plugins_follow_the_config(config):
    with rig("--config", str(config)) as server:
        async with Client(server.url) as client:
            assert "[REDACTED]" in (await client.call_tool("echo", {"text": "hi"})).text
            config.write_text(PLUGINS.replace('["echo", "ask"]', '["ask"]'))
            end = time.monotonic() + 30
            while "[REDACTED]" in (text := (await client.call_tool("echo", {"text": "hi"})).text):
                assert time.monotonic() < end
                await asyncio.sleep(0.1)
            assert text == "hi from ada@example.org"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('use = "no_such"', "plugin no_such: no plugin 'no_such'"),
        ('use = "pii_filter"\nmode = "sometimes"', "plugins.0.mode"),
        ('use = "pii_filter"\nconfig = { kinds = ["shoes"] }', "unknown kind: shoes"),
        ('use = "deny_list"', "has nothing to deny"),
        ('use = "regex_filter"\nconfig = { words = [{ search = "(", replace = "" }] }', "missing )"),
        ('use = "pii_filter"\nhooks = ["tool_pre_invok"]', "no hook tool_pre_invok"),
        ('use = "pii_filter"\npriorty = 1', 'unknown key "priorty"'),
    ],
)
def test_what_is_wrong_in_a_config_is_said_with_file_and_line(config, text, problem):
    config.write_text(f'[sources.notes]\npython = "tools.py"\n\n[[plugins]]\n{text}\n')
    done = subprocess.run([RUNE, "tool", "list", "--config", str(config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert problem in done.stderr
    assert "rune.toml:" in done.stderr or "plugin pii_filter" in done.stderr
