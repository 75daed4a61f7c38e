"""Clients of other makers against `rune serve bench/echo.py`, over HTTP and stdio, in both eras."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite import node
from tests.peers import npm, program, sdk
from tests.serving import ROOT, RUNE, rune

STDIO = [RUNE, "serve", "--stdio", "bench/echo.py"]
DEADLINE = 60
LEGACY, MODERN = "2025-11-25", "2026-07-28"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with rune("bench/echo.py") as server:
        yield server.url


@pytest.fixture
def text() -> str:
    """What no server could know, with characters that are easily broken on the way."""
    return f"{uuid.uuid4()} é ✓ 𝄞"


def run(*command: str, home: Path | None = None) -> str:
    """What a client prints; its standard input is empty, so one that asks something ends."""
    environ = {**os.environ, **({"HOME": str(home)} if home else {})}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("wire", ["http", "stdio"])
@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", LEGACY), (MODERN, MODERN)])
def test_the_official_sdk(url: str, text: str, mode: str, version: str, wire: str) -> None:
    target = [url] if wire == "http" else STDIO
    seen = json.loads(run(program(sdk(), "python"), "tests/e2e/sdk_client.py", mode, text, *target))
    assert seen == {"version": version, "tools": ["echo"], "error": False, "text": [text]}


def inspector(home: Path, era: str, method: list[str], url: str | None) -> dict[str, Any]:
    """The result that the MCP Inspector's command line shows; without a URL it starts the server itself."""
    folder = npm("inspector", "@modelcontextprotocol/inspector@2.12.0")
    options = ["--protocol-era", era, "--format", "json", "-q", *method]
    target = [url, "--transport", "http", *options] if url else [*options, "--", *STDIO]
    shown: dict[str, Any] = json.loads(run(node(), program(folder, "mcp-inspector"), "--cli", *target, home=home))
    result: dict[str, Any] = shown["result"]
    return result


@pytest.mark.parametrize("wire", ["http", "stdio"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector(url: str, text: str, tmp_path: Path, era: str, wire: str) -> None:
    place = url if wire == "http" else None
    listed = inspector(tmp_path, era, ["--method", "tools/list"], place)
    assert [tool["name"] for tool in listed["tools"]] == ["echo"]
    call = ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", f"text={text}"]
    result = inspector(tmp_path, era, call, place)
    assert result["content"] == [{"type": "text", "text": text}]
    # Only the modern dialect carries the server's name in each result, so this tells the eras apart.
    assert ("io.modelcontextprotocol/serverInfo" in result.get("_meta", {})) == (era == "modern")


def test_mcporter(url: str, text: str, tmp_path: Path) -> None:
    command = [node(), program(npm("mcporter", "mcporter@0.12.3"), "mcporter")]
    assert "echo" in run(*command, "list", url, "--allow-http", home=tmp_path)
    assert text in run(*command, "call", "--allow-http", f"{url}.echo", f"text={text}", home=tmp_path)


def test_mcp_remote_as_a_bridge(url: str, text: str) -> None:
    """mcp-remote turns stdio into HTTP; the official SDK starts it."""
    bridge = program(npm("mcp-remote", "mcp-remote@0.15.1"), "mcp-remote")
    target = [node(), bridge, url, "--allow-http", "--transport", "http-only"]
    seen = json.loads(run(program(sdk(), "python"), "tests/e2e/sdk_client.py", "legacy", text, *target))
    assert (seen["version"], seen["tools"], seen["text"]) == (LEGACY, ["echo"], [text])
