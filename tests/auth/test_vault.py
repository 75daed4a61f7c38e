"""The vault: what others cannot read, what a change breaks, who owns what, and two processes at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from rune.auth import keys, locks
from rune.auth.keys import usable_keyring
from rune.auth.vault import Account, Vault
from rune.config.places import PASSPHRASE
from rune.errors import ConfigError, TimedOut
from tests.peers import apt

ALICE = Account("alice", "https://as.example", "https://mcp.example/mcp")
BOB = ALICE._replace(caller="bob")
DEADLINE = 60


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A keyring of whoever runs the tests stays out of them.
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    return tmp_path / "rune" / "vault"


def vault(path: Path, **environ: str) -> Vault:
    return Vault(path, environ=environ)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- what it keeps ---------------------------------------------------------------------------------------------------


def test_nothing_is_made_before_something_is_kept(path: Path) -> None:
    assert vault(path).secret("token") is None
    assert vault(path).names() == []
    assert not path.parent.exists()


@pytest.mark.parametrize("environ", [{}, {PASSPHRASE: "correct horse"}], ids=["key file", "passphrase"])
def test_secrets_and_credentials_outlive_the_object(path: Path, environ: dict[str, str]) -> None:
    first = vault(path, **environ)
    first.keep("token", "s3cr3t-välue")
    first.save(ALICE, {"tokens": {"access_token": "at"}})
    again = vault(path, **environ)
    assert again.secret("token") == "s3cr3t-välue"
    assert again.entry(ALICE) == {"tokens": {"access_token": "at"}}
    assert again.remove("token") and not again.remove("token")
    assert again.forget(ALICE) and not again.forget(ALICE)
    assert vault(path, **environ).names() == []
    assert vault(path, **environ).entries("alice") == {}


def test_a_caller_never_sees_what_another_has(path: Path) -> None:
    kept = vault(path)
    kept.save(ALICE, {"of": "alice"})
    kept.save(BOB, {"of": "bob"})
    kept.save(ALICE._replace(resource="https://other.example"), {"of": "alice, elsewhere"})
    assert list(kept.entries("bob").values()) == [{"of": "bob"}]
    assert list(kept.entries("alice", ALICE.resource).values()) == [{"of": "alice"}]
    assert kept.entries("carol") == {}
    assert kept.forget(BOB)
    assert kept.entry(ALICE) == {"of": "alice"}


# --- who can read it -------------------------------------------------------------------------------------------------


def test_only_its_owner_can_read_the_files_and_the_text_is_in_none_of_them(path: Path) -> None:
    vault(path).keep("token", "s3cr3t-value")
    assert mode(path) == mode(path.with_name("vault.key")) == 0o600
    assert mode(path.parent) == 0o700
    for file in path.parent.iterdir():
        assert b"s3cr3t" not in file.read_bytes() and b"token" not in file.read_bytes(), file


def test_each_write_has_a_salt_and_a_nonce_of_its_own(path: Path) -> None:
    heads = set()
    for _ in range(5):
        vault(path).keep("token", "the same")
        heads.add(path.read_bytes()[8:36])
    assert len(heads) == 5


@pytest.mark.parametrize("at", [0, 7, 10, 30, 40, -1])
def test_a_changed_byte_is_refused(path: Path, at: int) -> None:
    vault(path).keep("token", "value")
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="vault: "):
        vault(path).secret("token")
    with pytest.raises(ConfigError):
        vault(path).keep("other", "a write does not throw away what cannot be read")
    assert path.read_bytes() == raw


def test_a_key_that_others_can_read_is_refused(path: Path) -> None:
    vault(path).keep("token", "value")
    for wrong in (0o640, 0o604, 0o666):
        path.with_name("vault.key").chmod(wrong)
        with pytest.raises(ConfigError, match="others can read its key file") as raised:
            vault(path).secret("token")
        assert raised.value.hint == f"chmod 600 {path.with_name('vault.key')}"


@pytest.mark.parametrize("content", [None, b"", b"short", b"x" * 32])
def test_another_key_opens_nothing(path: Path, content: bytes | None) -> None:
    vault(path).keep("token", "value")
    file = path.with_name("vault.key")
    file.unlink()
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match="vault: ") as raised:
        vault(path).secret("token")
    assert "value" not in str(raised.value) + str(raised.value.hint)


def test_a_passphrase_must_be_there_and_right(path: Path) -> None:
    vault(path, **{PASSPHRASE: "right"}).keep("token", "value")
    with pytest.raises(ConfigError, match="sealed with a passphrase") as raised:
        vault(path).secret("token")
    assert PASSPHRASE in str(raised.value.hint)
    with pytest.raises(ConfigError, match="belongs to another key"):
        vault(path, **{PASSPHRASE: "wrong"}).secret("token")
    assert not path.with_name("vault.key").exists()


def test_a_vault_keeps_the_kind_of_key_that_it_has(path: Path) -> None:
    vault(path).keep("token", "value")
    vault(path, **{PASSPHRASE: "since then"}).keep("more", "value")
    assert vault(path).names() == ["more", "token"]


# --- the keyring -----------------------------------------------------------------------------------------------------


class Ring(KeyringBackend):
    """A keyring in memory, as if it were one of the library's own."""

    priority = 5
    kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


Ring.__module__ = "keyring.backends.Test"


class AddOn(Ring):
    priority = 2.5


AddOn.__module__ = "keyrings.alt.file"


class Weak(Ring):
    priority = 0.5


Weak.__module__ = "keyring.backends.Weak"


@pytest.mark.parametrize("found", [fail.Keyring, null.Keyring, AddOn, Weak])
def test_a_keyring_that_protects_nothing_is_passed_over(path: Path, monkeypatch, found) -> None:
    monkeypatch.setattr(keyring, "get_keyring", found)
    assert usable_keyring() is None
    vault(path).keep("token", "value")
    assert path.with_name("vault.key").exists()


def test_a_real_one_behind_an_add_on_is_found(path: Path, monkeypatch) -> None:
    class Chain(chainer.ChainerBackend):
        backends = [AddOn(), Ring()]

    monkeypatch.setattr(keyring, "get_keyring", Chain)
    assert type(usable_keyring()) is Ring


def test_the_keyring_holds_the_key_and_nothing_else(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Ring, "kept", {})
    monkeypatch.setattr(keyring, "get_keyring", Ring)
    vault(path).keep("token", "s3cr3t-value")
    assert vault(path).secret("token") == "s3cr3t-value"
    assert not path.with_name("vault.key").exists()
    assert [service for service, _ in Ring.kept] == ["rune"]
    assert "s3cr3t" not in json.dumps(list(Ring.kept.values()))
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    with pytest.raises(ConfigError, match="there is no keyring here"):
        vault(path).secret("token")


def test_a_locked_keyring_is_no_place_for_a_new_vault(path: Path, monkeypatch) -> None:
    class Locked(Ring):
        def get_password(self, service: str, username: str) -> str | None:
            raise keys.KeyringError("locked")

    Locked.__module__ = "keyring.backends.Locked"
    monkeypatch.setattr(keyring, "get_keyring", Locked)
    vault(path).keep("token", "value")
    assert vault(path).secret("token") == "value"
    assert path.with_name("vault.key").exists()


REAL = """
import sys, time
from pathlib import Path
from rune.auth.keys import usable_keyring
from rune.auth.vault import Vault
path = Path(sys.argv[1])
assert type(usable_keyring()).__module__ == "keyring.backends.SecretService", usable_keyring()
Vault(path, environ={}).keep("token", "s3cr3t")
assert Vault(path, environ={}).secret("token") == "s3cr3t"
assert not path.with_name("vault.key").exists()
print("seen")
"""


def test_the_secret_service_of_a_desktop(tmp_path: Path) -> None:
    missing = apt("gnome-keyring-daemon", "gnome-keyring") or apt("dbus-run-session", "dbus-daemon")
    if missing:
        pytest.skip(missing)
    script = (
        "echo -n pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; "
        f'"{sys.executable}" -c "$1" "$2"; code=$?; kill "$(cat "$HOME/.daemon" 2>/dev/null)" 2>/dev/null; exit $code'
    )
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    tmp_path.chmod(0o700)
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", script, "bash", REAL, str(tmp_path / "vault")],
        env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.stdout == "seen\n", done.stderr


# --- several at once -------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from rune.auth.vault import Vault
for number in range(10):
    Vault(Path(sys.argv[1]), environ={}).keep(f"{sys.argv[2]}{number}", "x" * 1000)
"""


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "vault"), name], env=environ) for name in "ab"
    ]
    assert [writer.wait(DEADLINE) for writer in writers] == [0, 0]
    assert len(vault(tmp_path / "vault").names()) == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == ["vault", "vault.key", "vault.lock"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(path: Path, monkeypatch) -> None:
    kept = vault(path)
    kept.keep("token", "value")
    before = path.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        kept.keep("token", "other")
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["vault", "vault.key", "vault.lock"]


def test_a_lock_that_is_never_freed_ends_by_its_deadline(tmp_path: Path) -> None:
    with locks.locked(tmp_path / "lock"), pytest.raises(TimedOut, match="locked by another process"):
        locks.locked(tmp_path / "lock", timeout=0.05).__enter__()


async def test_waiting_for_a_lock_does_not_stop_the_loop(tmp_path: Path) -> None:
    order: list[str] = []

    async def second() -> None:
        async with locks.holding(tmp_path / "lock"):
            order.append("second")

    async with asyncio.timeout(DEADLINE):
        async with locks.holding(tmp_path / "lock"):
            task = asyncio.create_task(second())
            await asyncio.sleep(0)
            order.append("first")
            with pytest.raises(TimedOut):
                async with locks.holding(tmp_path / "lock", timeout=0.02):
                    pass
        await task
    assert order == ["first", "second"]


def test_locks_have_names_of_their_own(path: Path) -> None:
    kept = vault(path)
    files = {kept.lock_file("a", "b"), kept.lock_file("ab"), kept.lock_file("a", "b")}
    assert len(files) == 2
    assert all("b" not in file.name.strip("0123456789abcdef") for file in files)
