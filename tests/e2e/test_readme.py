"""What the README and the guides say is what happens: their files are written, their commands run, with real processes.

A block with `title=` is a file. `sh` and `python` blocks are run, a `text` block after them is what they print, `toml`
and `json` blocks are read, and `console` blocks name targets of the Makefile.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs/guide").glob("*.md")))]
ELSEWHERE = "docs/guide/wasm-server.md"
"""It needs toolchains: test_wasm_guide.py runs it."""
PORT = "8000"
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


class Block(NamedTuple):
    language: str
    title: str | None
    text: str
    line: int


def blocks(page: str, port: str, within: str = "") -> list[Block]:
    """The blocks of a page, or of what follows one of its headings."""
    text = (ROOT / page).read_text()
    if within:
        text = re.sub(rf"^.*?^## {within}$|^## .*", "", text, flags=re.MULTILINE | re.DOTALL)
    return [
        Block(match[1], match[2] or None, match[3].replace(PORT, port), text.count("\n", 0, match.start()) + 1)
        for match in BLOCK.finditer(text)
    ]


class Shell:
    """Runs blocks in one folder; what they leave running ends with it."""

    def __init__(self, folder: Path, port: str) -> None:
        self.folder = folder
        self.port = int(port)
        self.groups: list[int] = []
        self.printed = ""

    def run(self, *argv: str, wait_for_port: bool = False) -> None:
        # What was left running goes on printing: each block gets files of its own.
        out, err = (self.folder / f".{name}-{len(self.groups)}" for name in ("out", "err"))
        # The command is that of the interpreter that runs the tests; the home is nobody's.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "HOME": str(self.folder)}
        # What a page keeps stays out of the vault and the keyring of whoever runs the tests.
        environment |= {
            "RUNE_HOME": str(self.folder / ".home"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        with out.open("wb") as stdout, err.open("wb") as stderr:
            child = subprocess.Popen(
                argv, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                start_new_session=True,
            )  # fmt: skip
            self.groups.append(child.pid)
            status = child.wait(timeout=60)
        self.printed = out.read_text()
        assert status == 0, f"{argv[-1]}\nstatus {status}\n{self.printed}{err.read_text()}"
        if wait_for_port:
            self._wait(err)

    def _wait(self, err: Path) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"nobody listens on {self.port}: {err.read_text()}")

    def close(self) -> None:
        for group in self.groups:
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                continue


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shell = Shell(tmp_path, port)
    yield shell
    shell.close()


@pytest.mark.parametrize("page", [page for page in PAGES if page != ELSEWHERE])
def test_every_block_does_what_the_page_says(page: str, shell: Shell) -> None:
    found = blocks(page, str(shell.port))
    assert any(block.language in ("sh", "python") for block in found)
    follow(page, found, shell)


def follow(page: str, found: list[Block], shell: Shell) -> None:
    """Do what the blocks say."""
    for block in found:
        if block.title:
            (shell.folder / block.title).write_text(block.text)
        elif block.language == "sh":
            shell.run("bash", "-ec", block.text, wait_for_port=block.text.rstrip().endswith("&"))
        elif block.language == "python":
            shell.run(sys.executable, "-c", block.text)
        elif block.language == "text":
            assert shell.printed.rstrip() == block.text.rstrip(), f"{page}:{block.line}"
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        else:
            assert block.language == "console", f"{page}:{block.line}: what is to be done with {block.language}?"
            for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE):
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "page", [*PAGES, "CONTRIBUTING.md", "SECURITY.md", "docs/reference/cli.md", "docs/reference/config.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall((ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"
