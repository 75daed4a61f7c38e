"""Frames on their way past `rune inspect --frames`, from an old server whose wire says things unasked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OLD = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    def answer(**members):
        print(json.dumps({"jsonrpc": "2.0", "id": id, **members}), flush=True)
    if method == "initialize":
        answer(result={"protocolVersion": "2025-06-18", "capabilities": {"prompts": {"listChanged": False}},
                       "serverInfo": {"name": "old", "version": "1"}, "instructions": ""})
    elif method == "notifications/initialized":
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message",
                          "params": {"level": "info", "data": "hello"}}), flush=True)
    elif method == "prompts/list":
        answer(result={"prompts": []})
    elif id is not None:
        answer(error={"code": -32601, "message": "unknown"})
"""


@pytest.fixture
def old(folder: Path) -> tuple[str, ...]:
    """A command that is a server of 2025-06-18."""
    (folder / "old_server.py").write_text(OLD)
    return sys.executable, "old_server.py"


def test_an_old_server(rune: Callable[..., Any], old: tuple[str, ...]) -> None:
    ran = rune("inspect", "--json", "--", *old)
    (server,) = ran.json["servers"]
    assert server["revisions"] == ["2025-06-18"]
    assert server["serverInfo"] == {"name": "old", "version": "1"}
    assert (server["tools"], server["prompts"], server["resources"]) == ([], [], [])
    assert "  capabilities\tprompts\n" in rune("inspect", "--", *old).out


def test_its_frames_both_ways(rune: Callable[..., Any], old: tuple[str, ...]) -> None:
    ran = rune("inspect", "--frames", "--", *old)
    frames = [(line[0], json.loads(line[2:])) for line in ran.err.splitlines() if line[:2] in ("> ", "< ")]
    sent = [frame.get("method") for direction, frame in frames if direction == ">"]
    assert sent[:3] == ["server/discover", "initialize", "notifications/initialized"]
    heard = [frame for direction, frame in frames if direction == "<"]
    assert heard[0]["error"]["code"] == -32601
    assert "result" not in heard[0]
    assert heard[1]["result"]["protocolVersion"] == "2025-06-18"
    assert {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hello"}} in heard
