"""A real authorization server, a server of the official SDK that trusts it, and a user with a vault of their own."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite import node
from tests.peers import npm, sdk
from tests.serving import RUNE, free_port

HERE = Path(__file__).parent
START = 60.0
LIFE = "3600"


@pytest.fixture(autouse=True)
def alone(no_keyring: None) -> None:
    """The vaults that these tests write have a key in a file, where the gateways find it."""


class Provider:
    """The authorization server: its issuer, and what has happened there."""

    def __init__(self, resource: str) -> None:
        folder = npm("oidc-provider", "oidc-provider@9.13.3")
        self.child = subprocess.Popen(
            [node(), str(HERE / "provider.mjs"), str(folder), resource, LIFE],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.child.stdout is not None
        assert select.select([self.child.stdout], [], [], START)[0], "the provider does not start"
        self.issuer: str = json.loads(self.child.stdout.readline())["issuer"]
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(10)
        self._reader.join(10)
        assert self.child.stdout is not None
        self.child.stdout.close()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if line.startswith(b"{"):
                self.events.append(json.loads(line))

    def count(self, event: str, grant: str | None = None) -> int:
        return sum(each["event"] == event and grant in (None, each.get("grant")) for each in list(self.events))


class Place:
    """A protected server and its provider."""

    def __init__(self, url: str, provider: Provider) -> None:
        self.url = url
        self.provider = provider


@contextmanager
def protected() -> Iterator[Place]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    provider = Provider(url)
    server = subprocess.Popen(
        [str(sdk() / "bin" / "python"), str(HERE / "guarded.py"), str(port)], stdin=subprocess.PIPE
    )
    try:
        assert server.stdin is not None
        server.stdin.write(f"{provider.issuer}\n".encode())
        server.stdin.close()
        _wait(port, server)
        yield Place(url, provider)
    finally:
        server.terminate()
        server.wait(10)
        provider.stop()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None and time.monotonic() < end, "the protected server does not start"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def guarded() -> Iterator[Place]:
    """A protected server whose tokens live for an hour."""
    with protected() as place:
        yield place


class User:
    """Somebody with a vault and a browser, who runs `rune` as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.environ = {
            **os.environ,
            "RUNE_HOME": str(folder / "home"),
            "RUNE_CACHE_DIR": str(folder / "cache"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "BROWSER": f"{sys.executable} {HERE / 'browser.py'} %s",
        }

    def rune(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RUNE, *words], cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def user(tmp_path: Path) -> Callable[[str], User]:
    return lambda name: User(tmp_path / name)
