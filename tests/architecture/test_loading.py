"""What a start may load: a newcomer's first answer must not wait for packages that it does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE = 60

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}

HEAVY = {"aiohttp", "jsonschema_rs", "keyring", "mcp", "pydantic", "rich", "starlette"}
NOT_FOR_STDIO = HEAVY | {"httptools", "rune_native", "sqlite3", "uvicorn", "websockets"}
NOT_AT_IMPORT = NOT_FOR_STDIO | {"asyncio", "click", "cryptography", "msgspec"}


def loaded(*words: str, send: bytes = b"") -> tuple[set[str], bytes]:
    """The packages that a run of Python imports, and what it prints."""
    # Coverage would load packages of its own.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        input=send,
        capture_output=True,
        timeout=DEADLINE,
        cwd=ROOT,
        env=env | {"PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return names, done.stdout


def test_serving_a_file_on_stdio_loads_only_what_it_needs():
    names, out = loaded("-m", "rune", "serve", "--stdio", "bench/echo.py", send=json.dumps(REQUEST).encode() + b"\n")
    answer = json.loads(out.splitlines()[0])
    assert answer["id"] == 1
    assert answer["result"]["tools"]
    assert "msgspec" in names
    assert names & NOT_FOR_STDIO == set()


def test_importing_rune_loads_nothing_else():
    names, _ = loaded("-c", "import rune")
    assert "rune" in names
    assert names & NOT_AT_IMPORT == set()


@pytest.mark.parametrize("words", [("--help",), ("version",)])
def test_help_and_version_load_no_server(words):
    names, out = loaded("-m", "rune", *words)
    assert out
    assert names & (NOT_FOR_STDIO | {"cryptography"}) == set()


def test_the_whole_face_can_be_loaded():
    code = "import rune; [getattr(rune, name) for name in rune.__all__]; assert set(dir(rune)) == set(rune.__all__)"
    names, _ = loaded("-c", code)
    assert names & (HEAVY - {"aiohttp"}) == set()
