"""`rune wasm inspect|grant|revoke`, as processes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RUNE
from tests.sources.wasm.wat import HERE, component, tools

DEADLINE = 60


def wasm(*words: str, cwd: Path, status: int = 0) -> str:
    """What it prints."""
    done = subprocess.run(
        [RUNE, "wasm", *words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout if not status else done.stderr


def inspected(path: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wasm("inspect", path.name, "--json", *words, cwd=path.parent))
    return found


def test_what_a_component_asks_for_is_shown_before_it_runs(tmp_path: Path) -> None:
    path = tools(tmp_path)
    found = inspected(path)
    assert (found["kind"], found["imports"], found["exports"]) == (
        "rune:guest", ["rune:guest/host@0.1.0"], ["rune:guest/tools@0.1.0"],
    )  # fmt: skip
    assert found["asks"] == [] and "tools" not in found
    assert found["policy"]["isolation"] == "call" and found["policy"]["limits"]["memory"] == 128 << 20
    assert inspected(path, "--tools")["tools"][:2] == ["echo", "trap"]
    asking = '(component (import "rune:guest/http@0.1.0" (instance (export "fetch" (func)))))'
    assert inspected(component(tmp_path, asking, "asking"))["asks"] == ["network: hosts, through the gateway"]
    plain = component(tmp_path, (HERE / "plain.wat").read_text("utf-8"), "plain")
    assert inspected(plain)["kind"] == "plain"
    (tmp_path / "core.wasm").write_bytes(b"\0asm\x01\0\0\0")
    assert "a core module, not a component" in wasm("inspect", "core.wasm", cwd=tmp_path, status=1)


def test_what_is_granted_can_be_revoked(tmp_path: Path) -> None:
    path = tools(tmp_path)
    (tmp_path / "data").mkdir()
    words = ("storage=data:/d:write", "network=api.example.org", "environment=LEVEL=3")
    assert wasm("grant", path.name, *words, cwd=tmp_path).strip().endswith("hand.policy.yaml")
    policy = inspected(path)["policy"]
    assert policy["storage"] == [{"path": str(tmp_path / "data"), "mount": "/d", "access": "write"}]
    assert [each["host"] for each in policy["network"]] == ["api.example.org"]
    # Values may be secrets.
    assert policy["environment"] == ["LEVEL"]
    wasm("grant", path.name, "storage=data:/d", cwd=tmp_path)
    wasm("revoke", path.name, "network=api.example.org", cwd=tmp_path)
    policy = inspected(path)["policy"]
    assert policy["storage"] == [{"path": str(tmp_path / "data"), "mount": "/d", "access": "read"}]
    assert policy["network"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("grant", "hand.wasm", "everything"), "everything: no grant"),
        (("grant", "hand.wasm", "storage=none"), "no such folder"),
        (("grant", "hand.wasm", "storage=.:/x:all"), "access is read or write"),
        (("revoke", "hand.wasm", "network=never.example.org"), "does not grant never.example.org"),
    ],
)
def test_a_grant_that_is_none_changes_nothing(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    tools(tmp_path)
    policy = tmp_path / "hand.policy.yaml"
    text = "version: '1.0'\n# kept as it is\npermissions: {}\n"
    policy.write_text(text)
    assert said in wasm(*words, cwd=tmp_path, status=1)
    assert policy.read_text() == text
    assert not list(tmp_path.glob(".*"))
