"""`rune secret`, and what a config makes of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Process, Ran

VALUE = "s3cr3t-value"
CONFIG = """
[sources.other]
url = "http://127.0.0.1:1/mcp"
headers = { Authorization = "Bearer ${secret:api}" }
"""


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vault of our own, without the keyring of whoever runs the tests."""
    monkeypatch.setenv("RUNE_HOME", str(folder / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return folder / "home"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What comes on stdin."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_secret_is_kept_listed_and_removed(rune: Callable[..., Ran], home: Path, typed: Callable[[str], None]):
    assert rune("secret", "list") == (0, "", "")
    typed(f"{VALUE}\n")
    assert rune("secret", "set", "api") == (0, "", "")
    typed("other")
    assert rune("secret", "set", "a.b-c", "--json").json == {"name": "a.b-c"}
    assert rune("secret", "list").out == "a.b-c\napi\n"
    assert rune("secret", "list", "--json").json == {"secrets": ["a.b-c", "api"]}
    assert rune("secret", "remove", "a.b-c") == (0, "", "")
    assert rune("secret", "list").out == "api\n"
    status, out, err = rune("secret", "remove", "a.b-c")
    assert (status, out) == (1, "") and err == "a.b-c: there is no secret of this name\n  fix: rune secret list\n"
    assert VALUE.encode() not in b"".join(file.read_bytes() for file in home.iterdir())


@pytest.mark.parametrize(
    ("words", "text"),
    [(("set", "api"), ""), (("set", "a b"), "x"), (("set", "1"), "x"), (("set",), "x"), (("set", "api", VALUE), "x")],
)
def test_wrong_usage_keeps_nothing(rune: Callable[..., Ran], home: Path, typed: Callable[[str], None], words, text):
    typed(text)
    assert rune("secret", *words).status == 2
    assert not home.exists()


def test_a_config_is_filled_from_the_vault(
    rune: Callable[..., Ran], home: Path, typed: Callable[[str], None], folder: Path
):
    (folder / "rune.toml").write_text(CONFIG)
    status, _, err = rune("check")
    assert status == 1
    assert err == "rune.toml:4: ${secret:api} is not in the vault\n  fix: rune secret set api\n"
    typed(VALUE)
    rune("secret", "set", "api")
    ran = rune("check", "--json")
    assert ran.status == 0 and VALUE not in ran.out + ran.err


def test_a_secret_is_in_no_environment_of_a_tool_and_in_no_log(
    rune: Callable[..., Ran], home: Path, typed: Callable[[str], None], folder: Path, start: Callable[..., Process]
):
    typed(VALUE)
    rune("secret", "set", "api")
    (folder / "child.py").write_text(
        "import json, os\nfrom pathlib import Path\nPath('env.json').write_text(json.dumps(dict(os.environ)))\n"
    )
    (folder / "rune.toml").write_text(
        CONFIG
        + f'\n[sources.child]\ncommand = ["{sys.executable}", "child.py"]\nenv = {{ MINE = "${{secret:api}}" }}\n'
        f'\n[sources.another]\ncommand = ["{sys.executable}", "-c", "import os, sys; sys.exit(str(os.environ))"]\n'
    )
    ran = rune("tool", "list", "--debug")
    assert VALUE not in ran.out + ran.err
    told = json.loads((folder / "env.json").read_text())
    assert {name for name, value in told.items() if VALUE in value} == {"MINE"}
