"""What plugins did, as lines that others read: who, what, how long, and nothing of what has passed."""

from __future__ import annotations

import json
import logging
import stat
import subprocess

from rune.records import AUDIT, audit
from tests.rig import RUNE, rig
from tests.wire.client import text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

TOOLS = """
from rune import Server

server = Server("notes")


@server.tool
async def echo(text: str) -> str:
    return text
"""
CONFIG = """
[server]
audit = "audit.jsonl"

[sources.notes]
python = "tools.py"

[[plugins]]
use = "pii_filter"

[[plugins]]
use = "deny_list"
priority = 10
config = { words = ["drop table"] }

[[plugins]]
use = "broken.Broken"
name = "broken"
on_error = "ignore"
hooks = ["tool_post_invoke"]
conditions = [{ tools = ["notes_echo"] }]
"""
BROKEN = """
from rune.plugin import Plugin


class Broken(Plugin):
    async def tool_post_invoke(self, payload, context):
        if "break" in str(payload.result):
            raise ValueError(str(payload.result))

    async def progress_pre_send(self, payload, context):
        return None

    async def log_pre_send(self, payload, context):
        return None
"""


async def test_each_change_refusal_and_failure_is_a_line_of_json_without_what_it_was_about(tmp_path, monkeypatch):
    for name, text in (("tools.py", TOOLS), ("rune.toml", CONFIG), ("broken.py", BROKEN)):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    secret = word()
    with rig("--config", str(tmp_path / "rune.toml")) as server:
        for revision in (MODERN, "2025-11-25"):
            client = HttpClient(server.url, revision)
            try:
                if not client.modern:
                    await client.initialize()
                assert text_of(await client.tool("notes_echo", text="quiet")) == "quiet"
                await client.tool("notes_echo", text=f"{secret}@example.org")
                assert (await client.tool("notes_echo", text=f"DROP TABLE {secret}"))["isError"]
                assert text_of(await client.tool("notes_echo", text=f"break {secret}")) == f"break {secret}"
            finally:
                await client.close()
    path = tmp_path / "audit.jsonl"
    assert secret not in path.read_text()
    assert "example.org" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    what = [(line["plugin"], line["hook"], line["status"], line.get("reason")) for line in lines]
    each = [
        ("pii_filter", "tool_pre_invoke", "changed", None),
        ("deny_list", "tool_pre_invoke", "blocked", "holds a word that is not allowed"),
        ("broken", "tool_post_invoke", "failed", None),
    ]
    assert what == each * 2
    for line in lines:
        assert (line["caller"], line["server"], line["target"]) == ("anonymous", "notes", "notes_echo")
        assert line["request"]
        assert line["time"].endswith("+00:00")
        assert line.get("microseconds", 0) >= 0


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "rune.toml").write_text(CONFIG.replace("audit.jsonl", "missing/audit.jsonl"))
    command = [RUNE, "serve", "--port", "0", "--config", str(tmp_path / "rune.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "missing/audit.jsonl: no such file or directory" in done.stderr


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path):
    before = AUDIT.level, AUDIT.propagate
    handler = audit(str(tmp_path / "a.jsonl"))
    try:
        AUDIT.info("one")
        (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
        AUDIT.info("two")
        assert ((tmp_path / "b.jsonl").read_text(), (tmp_path / "a.jsonl").read_text()) == ("one\n", "two\n")
    finally:
        AUDIT.removeHandler(handler)
        handler.close()
        AUDIT.setLevel(before[0])
        AUDIT.propagate = before[1]
    assert logging.getLogger("rune.audit") is AUDIT
