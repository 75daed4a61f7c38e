"""Config -> Gateway. Kinds of sources and stores are imported by one table, when a config asks for them."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from rune import __version__
from rune.config.fill import Surroundings
from rune.config.model import Config, ServerTable, SourceConfig
from rune.errors import ConfigError, RuneError
from rune.gateway import Gateway, Identity
from rune.parking import Parking
from rune.request import Request
from rune.router import Mount, exposed
from rune.seal import Seal
from rune.source import Source
from rune.store import MemoryStore, Store
from rune.tasks import Tasks

if TYPE_CHECKING:
    from rune.sources.functions import Server

LATE: Final = {
    "python": "rune.sources.functions:Server",
    "upstream": "rune.sources.upstream.source:Upstream",
    "url": "rune.client.http:endpoint",
    "websocket": "rune.client.websocket:websocket",
    "command": "rune.client.duplex:command",
    "sqlite": "rune.stores.sqlite:SqliteStore",
    "vault": "rune.auth.vault:Vault",
}


@asynccontextmanager
async def build(config: Config) -> AsyncIterator[Gateway]:
    """The Gateway of a config, with its store, tasks and parked calls around it. Whoever serves it enters it.

    Raises:
        ConfigError: for a file that cannot be loaded, and for tools whose names collide.
    """
    parking = Parking()
    mounts = [Mount(_source(source, parking), source.prefix, source.tools) for source in config.sources]
    await _distinct(mounts, config.sources)
    # Asked before the sources get the names of the config.
    identity = _identity(config, [mount.source for mount in mounts])
    async with _store(config.server.store) as store, Tasks(store) as tasks:
        for mount, source in zip(mounts, config.sources, strict=True):
            if source.kind == "python":
                server: Any = mount.source
                server.name, server.tasks, server.parking = source.name, tasks, parking
        seal = await Seal.load(store)
        try:
            yield Gateway(mounts, identity=identity, seal=seal, tasks=tasks, page_size=config.server.page_size)
        finally:
            await parking.close()


@asynccontextmanager
async def around(source: Source) -> AsyncIterator[Gateway]:
    """A running Gateway around one source, for clients in the same process."""
    async with Tasks(MemoryStore()) as tasks:
        if getattr(source, "tasks", tasks) is None:
            source.tasks = tasks  # type: ignore[attr-defined]
        async with Gateway([Mount(source)], tasks=tasks) as gateway:
            yield gateway


def surroundings() -> Surroundings:
    """What a config is filled in from: the environment of this process, and the vault of this user."""
    return Surroundings(lambda: late("vault")())


def late(key: str) -> Any:
    """The class or function of an entry of the table."""
    module, _, name = LATE[key].partition(":")
    return getattr(import_module(module), name)


def _store(text: str) -> Store:
    kind, _, path = text.partition(":")
    store: Store = MemoryStore() if kind == "memory" else late(kind)(path)
    return store


def _identity(config: Config, sources: Sequence[Source]) -> Identity:
    """A lone Python file serves under its own name, if the config gives no other."""
    table: ServerTable = config.server
    if len(sources) == 1 and config.sources[0].kind == "python":
        server: Server = sources[0]  # type: ignore[assignment]
        return Identity(
            name=table.name or server.name,
            version=server.version or __version__,
            title=server.title,
            website_url=server.website_url,
            icons=tuple(dict(icon) for icon in server.icons or ()),
            instructions=table.instructions or server.instructions,
        )
    return Identity(name=table.name or "rune", version=__version__, instructions=table.instructions)


def _source(source: SourceConfig, parking: Parking) -> Source:
    if source.kind == "python":
        return load_server(Path(source.place), source.origin)
    if source.kind == "url":
        kind = "websocket" if source.place.startswith("ws") else "url"
        wire = late(kind)(source.name, source.place, headers=source.headers)
    else:
        wire = late("command")(source.name, source.command, env=source.env, cwd=source.cwd)
    limits = {} if source.timeout is None else {"timeout": source.timeout}
    identity = {"name": "rune", "version": __version__}
    upstream: Source = late("upstream")(source.name, wire, identity=identity, parking=parking, **limits)
    return upstream


def wire_of(source: SourceConfig) -> Any:
    """How to reach the server of a URL or command: each call of it gives a new wire."""
    if source.kind == "command":
        return late("command")(source.name, source.command, env=source.env, cwd=source.cwd)
    return late("websocket" if source.place.startswith("ws") else "url")(
        source.name, source.place, headers=source.headers
    )


async def _distinct(mounts: Sequence[Mount], sources: Sequence[SourceConfig]) -> None:
    """Tools of Python files are known before anything runs: two of one name are an error, not a surprise."""
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


# --- Python files ----------------------------------------------------------------------------------------------------


def load_server(path: Path, origin: str) -> Server:
    """The Server in a Python file. The file is run anew each time.

    Raises:
        ConfigError: when the file cannot be run, or has no Server or several.
    """
    module = _run(path, origin)
    kind = late("python")
    servers = {name: value for name, value in vars(module).items() if isinstance(value, kind)}
    if len({id(server) for server in servers.values()}) == 1 or "server" in servers:
        found: Server = servers.get("server") or next(iter(servers.values()))
        return found
    if servers:
        names = ", ".join(servers)
        raise ConfigError(f"{path.name}: has several servers: {names}", hint="call the one to serve `server`")
    raise ConfigError(
        f"{path.name}: has no rune.Server",
        hint='from rune import Server; server = Server("…"), then @server.tool above a function',
    )


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
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file of Python code has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RuneError as error:
        raise ConfigError(f"{_where(path, error)}: {error.message}", hint=error.hint) from error
    except (Exception, SystemExit) as error:
        hint = "install it beside rune, or correct the import" if isinstance(error, ImportError) else "correct the file"
        raise ConfigError(f"{_where(path, error)}: {type(error).__name__}: {error}", hint=hint) from error
    return module


def _where(path: Path, error: BaseException) -> str:
    """`file:line` of the last line of the file itself that led to an error."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path.name}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path.name}:{lines[-1]}" if lines else path.name
