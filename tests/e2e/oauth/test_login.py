"""`rune auth` from end to end: a real provider, a server of the official SDK, a browser, processes."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec

from rune.auth.vault import Vault
from rune.client.oauth.tokens import Credential, read
from tests.e2e.oauth.conftest import Place, User


def expire(user: User) -> Credential:
    """Let the stored token be at its end; what is stored."""
    vault = Vault(user.folder / "home" / "vault", environ={})
    ((account, value),) = vault.entries("").items()
    credential = read(value)
    assert credential.tokens is not None
    credential.tokens.expires_at = credential.tokens.obtained_at
    vault.save(account, msgspec.to_builtins(credential))
    return credential


def test_the_whole_story(guarded: Place, user: Callable[[str], User]) -> None:
    alice, bob, url, provider = user("alice"), user("bob"), guarded.url, guarded.provider

    def call(who: User, *words: str) -> str:
        done = who.rune("tool", "call", *words, "--url", url)
        assert done.returncode == 0, done.stderr
        return done.stdout

    refused = alice.rune("tool", "list", "--url", url)
    assert refused.returncode == 1
    assert refused.stderr == f"127.0.0.1: wants a sign-in first (401)\n  fix: rune auth login {url}\n"

    registered = provider.count("registration_create.success")

    # Signed in: what is printed is for everybody's eyes, and what is kept is sealed.
    done = alice.rune("auth", "login", url, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.keys() == {"name", "tools", "server", "issuer", "state", "scopes", "expires_at"}
    assert (told["server"], told["issuer"], told["state"], told["tools"]) == (url, provider.issuer, "signed in", 2)
    assert "code_challenge=" in done.stderr and "verifier" not in done.stderr
    for file in alice.folder.rglob("*"):
        if file.is_file():
            assert b"access_token" not in file.read_bytes(), file
            assert file.stat().st_mode & 0o077 == 0, file
    assert provider.count("registration_create.success") == registered + 1
    assert bob.rune("tool", "list", "--url", url).returncode == 1

    # The token ends, the next process renews it.
    old = expire(alice).tokens
    refreshes = provider.count("grant.success", "refresh_token")
    assert call(alice, "add", "a=2", "b=3") == "5\n"
    assert provider.count("grant.success", "refresh_token") == refreshes + 1
    new = expire(alice).tokens
    assert old is not None and new is not None and new.refresh_token != old.refresh_token

    # More rights, and no second client for them.
    again = alice.rune("auth", "login", url, "--scope", "mcp:admin")
    assert again.stdout == f"127-0-0-1: signed in at {provider.issuer}, it offers 2 tools\n", again.stderr
    assert provider.count("registration_create.success") == registered + 1
    assert call(alice, "who") == "alice mcp:admin mcp:tools\n"
    listed = json.loads(alice.rune("auth", "list", "--json").stdout)
    assert [(each["server"], each["state"]) for each in listed["accounts"]] == [(url, "signed in")]

    out = alice.rune("auth", "logout", url, "--json")
    assert json.loads(out.stdout) == {"name": "127-0-0-1", "revoked": True}
    assert Vault(alice.folder / "home" / "vault", environ={}).entries("") == {}
    assert alice.rune("tool", "list", "--url", url).returncode == 1


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
