"""The page on writing a server in WebAssembly, and the examples, as a client that is not ours sees them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests import guests
from tests.e2e.test_readme import ELSEWHERE, Shell, blocks, follow, shell
from tests.peers import program, sdk
from tests.rig import ROOT
from tests.serving import rune
from tests.sizes import LONG

__all__ = ["shell"]

DEADLINE: Final = 120
SECTIONS: Final = {"Python": ".py", "JavaScript": ".js", "C": ".c"}
QUICK: Final = ("C",)
"""An interpreter takes long to be built and compiled."""
CALLS: Final[Mapping[str, tuple[str, Mapping[str, Any], Any]]] = {
    "words.c": ("count_words", {"text": "é ✓ words"}, "3"),
    "dice.js": ("roll", {"sides": 1}, "a die with 1 sides does not roll"),
    "units.py": ("convert", {"value": 2, "source": "km"}, {"value": 2000.0, "unit": "m"}),
}


@pytest.mark.parametrize("section", SECTIONS if LONG else QUICK)
def test_ten_minutes(section: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix = SECTIONS[section]
    environ = guests.environ(suffix)
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.setenv("RUNE_CACHE_DIR", str(guests.compiled()))
    # The page is followed in an empty home; what zig keeps of itself is not built again in there.
    monkeypatch.setenv(
        "ZIG_GLOBAL_CACHE_DIR", str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "zig")
    )
    found = blocks(ELSEWHERE, str(shell.port), section)
    sources = [block.title for block in found if block.title]
    assert [Path(title or "").suffix for title in sources] == [suffix]
    (shell.folder / str(sources[0])).write_text(next(block.text for block in found if block.title))
    follow(ELSEWHERE, [block for block in found if not block.title and block.language != "console"], shell)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_page_installs_is_what_the_tests_have(section: str) -> None:
    installs = [block.text for block in blocks(ELSEWHERE, "1", section) if block.language == "console"]
    assert re.fullmatch(r"(?:pip|npm) install (.*)\n", "".join(installs)) is not None
    assert tuple(installs[0].split()[2:]) == guests.VERSIONS[SECTIONS[section]]


def visit(mode: str, target: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One call by the client of the official SDK."""
    command = [program(sdk(), "python"), "tests/e2e/sdk_calls.py", mode, target, name, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("name", CALLS if LONG else ["dice.js"])
def test_the_official_sdk_calls_the_examples(name: str) -> None:
    tool, arguments, answer = CALLS[name]
    made = guests.served(ROOT / "examples" / "wasm" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNE_CACHE_DIR", str(guests.compiled()))
        with rune(str(made)) as server:
            for mode in ("legacy", "2026-07-28") if LONG else ("2026-07-28",):
                seen = visit(mode, server.url, tool, arguments)
                assert tool in seen["tools"]
                assert seen["error"] is (name == "dice.js")
                assert (seen["structured"] or "".join(seen["text"])) == answer
