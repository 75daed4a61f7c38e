"""`rune auth` from end to end: a real provider, a server of the official SDK, a browser, processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.oauth.conftest import Place, User


def test_sign_in_call_refresh_and_sign_out(brief: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")
    before = alice.rune("tool", "list", "--url", brief.url)
    assert before.returncode == 1
    assert before.stderr == (f"127.0.0.1: wants a sign-in first (401)\n  fix: rune auth login {brief.url}\n")

    done = alice.rune("auth", "login", brief.url)
    assert (done.returncode, done.stdout) == (
        0, f"127-0-0-1: signed in at {brief.provider.issuer}, it offers 2 tools\n",
    ), done.stderr  # fmt: skip
    assert brief.provider.count("registration_create.success") == 1

    time.sleep(2.1)  # The life of a token: what comes now needs another one.
    refreshed = brief.provider.count("grant.success", "refresh_token")
    called = alice.rune("tool", "call", "add", "a=2", "b=3", "--url", brief.url)
    assert (called.returncode, called.stdout) == (0, "5\n"), called.stderr
    assert brief.provider.count("grant.success", "refresh_token") > refreshed

    listed = json.loads(alice.rune("auth", "list", "--json").stdout)
    assert [each["server"] for each in listed["accounts"]] == [brief.url]
    assert listed["accounts"][0]["state"] == "signed in"

    out = alice.rune("auth", "logout", brief.url, "--json")
    assert json.loads(out.stdout) == {"name": "127-0-0-1", "revoked": True}
    assert alice.rune("auth", "list").stdout == ""
    assert alice.rune("tool", "list", "--url", brief.url).returncode == 1
    assert alice.rune("auth", "logout", brief.url).returncode == 1


def test_a_second_user_of_the_machine_has_nothing_of_the_first(guarded: Place, user: Callable[[str], User]) -> None:
    alice, bob = user("alice"), user("bob")
    assert alice.rune("auth", "login", guarded.url).returncode == 0
    assert bob.rune("auth", "list").stdout == ""
    assert bob.rune("tool", "list", "--url", guarded.url).returncode == 1
    assert alice.rune("tool", "call", "who", "--url", guarded.url).stdout == "alice mcp:tools\n"


def test_a_second_sign_in_asks_for_more_and_registers_no_second_client(
    guarded: Place, user: Callable[[str], User]
) -> None:
    alice = user("alice")
    assert alice.rune("auth", "login", guarded.url).returncode == 0
    clients = guarded.provider.count("registration_create.success")
    again = alice.rune("auth", "login", guarded.url, "--scope", "mcp:admin")
    assert again.returncode == 0, again.stderr
    assert guarded.provider.count("registration_create.success") == clients
    assert alice.rune("tool", "call", "who", "--url", guarded.url).stdout == "alice mcp:admin mcp:tools\n"


def test_nothing_secret_is_printed_or_stands_in_a_file(guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")
    done = alice.rune("auth", "login", guarded.url, "--json")
    told = json.loads(done.stdout)
    assert told.keys() == {"name", "tools", "server", "issuer", "state", "scopes", "expires_at"}
    address = next(line.strip() for line in done.stderr.splitlines() if line.strip().startswith("http"))
    # What the browser is sent to is no secret: state and challenge are of no use without the verifier.
    assert "code_challenge=" in address and "verifier" not in done.stderr
    for file in Path(alice.folder).rglob("*"):
        if file.is_file():
            assert b"access_token" not in file.read_bytes(), file
            assert file.stat().st_mode & 0o077 == 0, file


def test_a_machine_signs_in_as_the_config_says(guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")
    (alice.folder / "rune.toml").write_text(
        f"""
[sources.guarded]
url = "{guarded.url}"
prefix = ""
auth = {{ grant = "client_credentials", client_id = "machine", client_secret = "machine-secret-of-the-tests", \
scopes = ["mcp:tools"] }}
"""
    )
    called = alice.rune("tool", "call", "who")
    assert called.stdout == "machine mcp:tools\n", called.stderr
    assert "machine-secret" not in called.stdout + called.stderr
