"""The public face of the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import rune

ROOT = Path(__file__).parent.parent


def test_every_public_name_is_there() -> None:
    assert len(rune.__all__) <= 25
    assert dir(rune) == sorted(rune.__all__)
    for name in rune.__all__:
        assert getattr(rune, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rune' has no attribute 'Sever'"):
        _ = rune.Sever  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    text = (ROOT / "src/rune/__init__.py").read_text()
    typed = {name: module for module, name in re.findall(r"^    from (\S+) import \w+ as (\w+)$", text, re.MULTILINE)}
    assert typed == rune._NAMES


def test_importing_rune_loads_nearly_nothing() -> None:
    code = "import sys; before = set(sys.modules); import rune; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert {name for name in done.stdout.split() if name.startswith("rune")} == {"rune"}
    assert not {"asyncio", "msgspec", "click", "aiohttp"} & set(done.stdout.split())


def test_there_is_one_version() -> None:
    assert metadata.version("rune-mcp") == rune.__version__
    assert f"## [{rune.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
