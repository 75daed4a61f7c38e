"""Python files with a `rune.Server`: run anew each time that they are loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from rune.config.model import SourceConfig
from rune.errors import ConfigError, RuneError
from rune.request import Request
from rune.view import Mount, exposed


def server(path: Path, origin: str, kind: type) -> Any:
    """The Server in a Python file, an object of this `kind`. The file is run anew each time.

    Raises:
        ConfigError: when the file cannot be run, or has no Server or several.
    """
    module = _run(path, origin)
    servers = {name: value for name, value in vars(module).items() if isinstance(value, kind)}
    if len({id(server) for server in servers.values()}) == 1 or "server" in servers:
        return servers.get("server") or next(iter(servers.values()))
    if servers:
        names = ", ".join(servers)
        raise ConfigError(f"{path.name}: has several servers: {names}", hint="call the one to serve `server`")
    raise ConfigError(
        f"{path.name}: has no rune.Server",
        hint='from rune import Server; server = Server("…"), then @server.tool above a function',
    )


class Fresh(SourceFileLoader):
    """Compiles a file each time: bytecode that was kept goes by the second, and edits may come faster than that."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _run(path: Path, origin: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(
            f"{origin}: no such file: {path}", hint="a relative path is meant from the folder of the config"
        )
    folder = str(path.parent)
    # At the end: a neighbour of the file must not stand in for a module that the gateway itself needs.
    if folder not in sys.path:
        sys.path.append(folder)
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path, loader=Fresh(name, str(path)))
    assert spec is not None and spec.loader is not None, "a file of Python code has a loader"
    module = importlib.util.module_from_spec(spec)
    former = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if former is not None:
            # The functions of before are still being served.
            sys.modules[name] = former
        if isinstance(error, RuneError):
            raise ConfigError(f"{_where(path, error)}: {error.message}", hint=error.hint) from error
        if not isinstance(error, Exception | SystemExit):
            raise
        hint = "install it beside rune, or correct the import" if isinstance(error, ImportError) else "correct the file"
        raise ConfigError(f"{_where(path, error)}: {type(error).__name__}: {error}", hint=hint) from error
    return module


def _where(path: Path, error: BaseException) -> str:
    """`file:line` of the last line of the file itself that led to an error."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name


async def distinct(mounts: Sequence[Mount], sources: Sequence[SourceConfig]) -> None:
    """Tools of Python files are known before anything runs: two of one name are an error, not a surprise.

    Raises:
        ConfigError: naming both of them.
    """
    owners: dict[str, str] = {}
    for mount, source in zip(mounts, sources, strict=True):
        if source.kind != "python":
            continue
        catalog = await mount.source.catalog(Request("catalog"))
        for item in catalog.tools:
            if mount.tools and not any(fnmatchcase(item.name, pattern) for pattern in mount.tools):
                continue
            name = exposed(mount.prefix, item.name)
            owner = owners.setdefault(name, source.name)
            if owner != source.name:
                raise ConfigError(
                    f"{source.origin}: {source.name} and {owner} both offer a tool {name}",
                    hint=f'give {source.name} another prefix, for example prefix = "{source.name}_"',
                )
