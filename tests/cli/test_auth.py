"""`rune auth` where there is nothing to sign in to. The rest is in tests/e2e/oauth, with real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

CONFIG = """
[sources.remote]
url = "http://127.0.0.1:1/mcp"
[sources.local]
command = "nothing"
[sources.token]
url = "http://127.0.0.1:1/mcp"
headers = { authorization = "Bearer x" }
"""


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNE_HOME", str(folder / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    (folder / "rune.toml").write_text(CONFIG)
    return folder / "home"


@pytest.mark.parametrize("verb", ["login", "logout"])
@pytest.mark.parametrize("name", ["local", "nobody"])
def test_only_servers_with_a_url_have_a_sign_in(rune: Callable[..., Ran], verb: str, name: str):
    status, out, err = rune("auth", verb, name)
    assert (status, out) == (1, "")
    assert err == f"{name}: no source with a url has this name (rune.toml has: remote, token)\n  fix: or give the URL\n"


def test_a_source_with_a_token_in_its_headers_has_no_sign_in(rune: Callable[..., Ran]):
    status, _, err = rune("auth", "login", "token")
    assert status == 1 and err.startswith("token: its headers hold a token already\n")


def test_nobody_is_signed_in(rune: Callable[..., Ran], home: Path):
    assert rune("auth", "list") == (0, "", "")
    assert rune("auth", "list", "--json").json == {"accounts": []}
    status, _, err = rune("auth", "logout", "remote")
    assert status == 1 and err == "remote: you are not signed in\n  fix: rune auth list\n"
    assert not home.exists()


def test_a_server_that_is_not_there(rune: Callable[..., Ran], home: Path):
    for name in ("remote", "http://127.0.0.1:1/mcp"):
        status, out, err = rune("auth", "login", name, "--no-browser")
        assert (status, out) == (1, "") and "cannot connect to 127.0.0.1:1: connection refused" in err
    assert not home.exists()


@pytest.mark.parametrize("words", [("login",), ("login", "a", "b"), ("list", "x"), ("nothing",), ("login", "ftp://x")])
def test_wrong_usage(rune: Callable[..., Ran], words: tuple[str, ...]):
    assert rune("auth", *words).status in (1, 2)
