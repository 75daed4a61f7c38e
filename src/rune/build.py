"""Config -> Gateway. Kinds of sources and stores are imported by one table, when a config asks for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rune import __version__
from rune.config import places
from rune.config.fill import Surroundings
from rune.config.model import Config, ServerTable, SourceConfig
from rune.config.policy import PolicyTable, beside
from rune.config.targets import DEFAULTS, FILES
from rune.errors import ConfigError
from rune.gateway import Gateway, Identity
from rune.parking import Parking
from rune.profile import Profile
from rune.pyfile import distinct, server
from rune.seal import Seal
from rune.signin import SignIns
from rune.source import Source
from rune.sources.upstream.disk import Disk
from rune.sources.upstream.gate import Terms
from rune.store import MemoryStore, Store
from rune.stores.pressed import PressedStore
from rune.taskids import TaskIds
from rune.tasks import Tasks
from rune.view import Mount

if TYPE_CHECKING:
    from rune.chain import Plugs
    from rune.client.calls import Auth
    from rune.client.oauth.session import OAuth
    from rune.plugged import Plugged
    from rune.sources.functions import Server
    from rune.sources.upstream.source import Upstream

LATE: Final = {
    "python": "rune.sources.functions:Server",
    "wasm": "rune.sources.wasm.component:WasmSource",
    "upstream": "rune.sources.upstream.source:Upstream",
    "stock": "rune.sources.wasm.stock:Stock",
    "chosen": "rune.sources.wasm.stock:chosen",
    "watched": "rune.sources.wasm.stock:watched",
    "latest": "rune.sources.wasm.stock:latest",
    "granted": "rune.sources.wasm.asks:granted",
    "forget": "rune.sources.wasm.stock:forget",
    "look": "rune.sources.wasm.look:look",
    "offers": "rune.sources.wasm.look:offers",
    "grant": "rune.config.policy_edits:grant",
    "revoke": "rune.config.policy_edits:revoke",
    "policy": "rune.config.policy_yaml:read_policy",
    "url": "rune.client.http:endpoint",
    "limits": "rune.net:Limits",
    "websocket": "rune.client.websocket:websocket",
    "command": "rune.client.duplex:command",
    "arguments": "rune.sources.arguments:Arguments",
    "plugged": "rune.plugged:Plugged",
    "sqlite": "rune.stores.sqlite:SqliteStore",
    "press": "rune.zstd:Press",
    "redis": "rune.stores.redis:RedisStore",
    "vault": "rune.auth.vault:Vault",
    "oauth": "rune.client.oauth.session:OAuth",
    "later": "rune.client.oauth.later:Later",
    "page": "rune.auth.page:Page",
}


class House:
    """What outlives a Gateway, and the Gateway of now: entered while it serves, replaced by `move_in`."""

    def __init__(self, config: Config, tasks: Tasks, store: PressedStore, seal: Seal, kept: Path | None) -> None:
        self.config = config
        self.gateway = Gateway([])
        self.parking = Parking()
        self.sign_ins = SignIns(lambda name, port: late("page")(name, port=port))
        self.tasks = tasks
        self._seal = seal
        self._kept = kept
        self._keys: dict[Source, object] = {}
        self._names: dict[Source, Identity] = {}
        self._store = store
        self._plugged: Plugged | None = None

    async def construct(self, config: Config) -> Gateway:
        """A new Gateway, not running yet. Sources are shared with the one of now where their config is the same.

        Raises:
            ConfigError: for a file that cannot be loaded, and for tools whose names collide. Nothing has changed then.
        """
        now = self.gateway.sources
        self._keys = {source: key for source, key in self._keys.items() if source in now}
        self._names = {source: name for source, name in self._names.items() if source in now}
        mounts = [Mount(self._source(source), source.prefix, source.tools) for source in config.sources]
        await distinct(mounts, config.sources)
        identity = _identity(config.server, [self._names.get(mount.source) for mount in mounts])

        plugs = await self._plugs(config)
        checked = [
            mount.source
            for mount, source in zip(mounts, config.sources, strict=True)
            if source.kind != "python" and (config.server.validate if source.validate is None else source.validate)
        ]
        arguments = late("arguments")(checked) if checked else None

        def gateway(profile: Profile | None) -> Gateway:
            shared: dict[str, Any] = {"identity": identity, "seal": self._seal, "tasks": self.tasks}
            made = Gateway(mounts, **shared, page_size=config.server.page_size, profile=profile)
            if arguments is not None:
                # Below the plugins: what counts is what the source gets.
                made.wrap(arguments.around)
            if plugs is not None:
                made.plug(plugs)
            made.parking = self.parking
            if any(source.kind == "url" for source in config.sources):
                # A frame around each call, where a server could want a sign-in.
                made.lead(self.sign_ins)
            return made

        whole = gateway(None)
        whole.profiles = {
            name: gateway(Profile(name, table.tools, table.prompts, table.resources))
            for name, table in config.profiles.items()
        }
        return whole

    async def _plugs(self, config: Config) -> Plugs | None:
        """The plugins of a config, for a gateway; None where there are none."""
        if self._plugged is None and config.plugins:
            self._plugged = late("plugged")(_imported, self._store)
        return None if self._plugged is None else await self._plugged.plugs(config)

    def alone(self, source: Source, identity: Identity) -> Gateway:
        """A Gateway for one source."""
        made = Gateway([Mount(source)], identity=identity, seal=self._seal, tasks=self.tasks)
        made.parking = self.parking
        return made

    def _source(self, config: SourceConfig) -> Source:
        key = _key(config)
        for source, known in self._keys.items():
            if known == key:
                return source
        source = _make(config, self.parking, self._kept)
        if config.kind == "python":
            server: Any = source
            self._names[source] = _own_name(server)
            server.name, server.tasks, server.parking = config.name, self.tasks, self.parking
            server.spool.pressed = self._store
        elif config.kind != "wasm":
            upstream: Any = source
            upstream.keep_tasks(self.tasks, TaskIds(self._seal))
        self._keys[source] = key
        return source

    def move_in(self, gateway: Gateway, config: Config) -> None:
        """This is the Gateway of now; whoever made it has let it take over from the old one."""
        self.gateway, self.config = gateway, config
        self._store.press = None if self._plugged is None else self._plugged.press(config)

    async def __aenter__(self) -> Self:
        await self.gateway.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.gateway.__aexit__()

    async def close(self) -> None:
        """End what outlives every Gateway."""
        await self.sign_ins.close()
        await self.parking.close()
        if self._plugged is not None:
            await self._plugged.close()


@asynccontextmanager
async def house(config: Config, kept: Path | None = None) -> AsyncIterator[House]:
    """A House with the first Gateway of a config, which is not running yet. `kept` is the folder for last catalogs:
    with it, servers that sleep or are dead are listed from the start.

    Raises:
        ConfigError: see `House.construct`.
    """
    async with _store(config.server.store) as store, Tasks(store) as tasks:
        house = House(config, tasks, store, await Seal.load(store), kept)
        try:
            house.move_in(await house.construct(config), config)
            yield house
        finally:
            await house.close()


@asynccontextmanager
async def build(config: Config) -> AsyncIterator[Gateway]:
    """The Gateway of a config, with its store, tasks and parked calls around it. Whoever serves it enters it.

    Raises:
        ConfigError: see `House.construct`.
    """
    async with house(config) as found:
        yield found.gateway


@asynccontextmanager
async def around(source: Source) -> AsyncIterator[Gateway]:
    """A running Gateway around one source, for clients in the same process."""
    async with Tasks(MemoryStore()) as tasks:
        if getattr(source, "tasks", tasks) is None:
            source.tasks = tasks  # type: ignore[attr-defined]
        async with Gateway([Mount(source)], tasks=tasks) as gateway:
            yield gateway


@asynccontextmanager
async def housing(source: Source, identity: Identity) -> AsyncIterator[House]:
    """A House around one source that no config knows of, and that is served under a name of its own."""
    async with house(Config()) as found:
        found.gateway = found.alone(source, identity)
        yield found


def surroundings() -> Surroundings:
    """What a config is filled in from: the environment of this process, and the vault of this user."""
    return Surroundings(lambda: late("vault")())


def late(key: str) -> Any:
    """The class or function of an entry of the table."""
    return _imported(LATE[key])


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _store(text: str) -> PressedStore:
    kind, _, path = text.partition(":")
    if kind == "memory":
        store: Store = MemoryStore()
    else:
        store = late("sqlite")(path) if kind == "sqlite" else _extra("redis", "redis", "store: Redis")(text)
    return PressedStore(store, lambda dictionary: late("press")(dictionary))


def _extra(key: str, package: str, who: str) -> Any:
    """An entry of the table that needs a package which not everybody has; the extra for it has the name of the entry.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return late(key)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        hint = f"pip install 'rune-mcp[{key}]'"
        raise ConfigError(f"{who} needs the package {package}", hint=hint) from None


def _key(config: SourceConfig) -> object:
    """What makes a source the same as another: all that it is made from, but not how it is shown."""
    content: object = None
    policy = None
    if config.kind == "wasm":
        policy = policy_of(config)
        content = late("chosen")(config, policy, components())
    elif config.kind in FILES.values():
        with suppress(OSError):
            content = hashlib.sha256(Path(config.place).read_bytes()).digest()
    return replace(config, prefix="", tools=(), validate=None, origin="", policy=policy), content


def _own_name(server: Server) -> Identity:
    """What a Python file calls itself, before it gets the name of the config."""
    return Identity(
        name=server.name,
        version=server.version or __version__,
        title=server.title,
        website_url=server.website_url,
        icons=tuple(dict(icon) for icon in server.icons or ()),
        instructions=server.instructions,
    )


def _identity(table: ServerTable, names: Sequence[Identity | None]) -> Identity:
    """A lone Python file serves under its own name, if the config gives no other."""
    lone = names[0] if len(names) == 1 and names[0] is not None else Identity(version=__version__)
    return replace(lone, name=table.name or lone.name, instructions=table.instructions or lone.instructions)


def _make(source: SourceConfig, parking: Parking, kept: Path | None) -> Source:
    if source.kind == "python":
        return load_server(Path(source.place), source.origin)
    if source.kind == "wasm":
        return _component(source)
    terms = Terms(
        source.timeout or 60.0, source.idle, source.concurrency, source.queue, source.protocol,
        source.share, source.children, source.roots,
    )  # fmt: skip
    identity = {"name": "rune", "version": __version__}
    upstream: Upstream = late("upstream")(source.name, wire_of(source), identity=identity, parking=parking, terms=terms)
    if kept is not None:
        known_by = [source.place, source.command, source.cwd, source.env, source.headers, source.auth, source.protocol]
        upstream.keep(Disk(kept, source.name, [*known_by, _sign_ins(source)]))
    return upstream


def policy_of(source: SourceConfig) -> PolicyTable:
    """What the component of a source may do: as the config says, else as a policy.yaml beside it does.

    Raises:
        ConfigError: naming the file.
    """
    if source.policy is not None:
        return source.policy
    path = next((path for path in beside(source.file) if path.is_file()), None)
    found: PolicyTable = PolicyTable() if path is None else late("policy")(path, surroundings())
    return found


def _component(source: SourceConfig) -> Source:
    kind = _extra("wasm", "wasmtime", f"{source.origin}: WebAssembly")
    found: Source = kind(source.name, source.file, policy_of(source), components(), stock_of(source))
    return found


def components() -> Path:
    """The folder for components that were fetched or compiled."""
    return places.cache(os.environ) / "wasm"


def stock_of(source: SourceConfig) -> Any:
    """Where the component of a source comes from, and which version of it is served."""
    return late("stock")(source, policy_of(source), components())


def _sign_ins(source: SourceConfig) -> object:
    """As whom the operator is signed in there: the catalog of one sign-in is not that of the next."""
    if source.kind != "url" or not places.has_vault(os.environ):
        return None
    with suppress(ConfigError):
        # Whatever is wrong with the vault is said by whoever needs a token.
        return oauth_of(source).sign_ins()
    return None


def wire_of(source: SourceConfig, auth: Auth | None = None) -> Any:
    """How to reach the server of a URL or command: each call of it gives a new wire. `auth` is another one than that of
    the config."""
    if source.kind == "command":
        return late("command")(source.name, source.command, env=source.env, cwd=source.cwd)
    limits = late("limits")(connections=source.max_connections)
    kind = "websocket" if source.place.startswith("ws") else "url"
    return late(kind)(source.name, source.place, headers=source.headers, limits=limits, auth=auth or auth_of(source))


def auth_of(source: SourceConfig) -> Auth | None:
    """What proves to the server of a URL who we are. One with a token in its headers needs nothing else; one without
    `auth` is asked for nothing before it refuses."""
    if any(name.lower() == "authorization" for name in source.headers):
        return None
    if source.auth is not None:
        return oauth_of(source)
    later: Auth = late("later")(lambda: oauth_of(source), lambda: places.has_vault(os.environ))
    return later


def oauth_of(source: SourceConfig) -> OAuth:
    """The credential of the operator at the server of a URL."""
    oauth: OAuth = late("oauth")(source.name, source.place, late("vault")(), source.auth)
    oauth.command = login_command(source)
    return oauth


def login_command(source: SourceConfig) -> str:
    """What to type to sign in: a source of a config goes by its name, a TARGET by its URL."""
    if source.origin == source.place:
        return f"rune auth login {source.place}"
    file = Path(source.origin.rpartition(":")[0])
    usual = file.parent in (Path(), Path.cwd()) and file.name in DEFAULTS
    return f"rune auth login {source.name}" + ("" if usual else f" --config {file}")


def load_server(path: Path, origin: str) -> Server:
    """The Server in a Python file, see `pyfile.server`."""
    found: Server = server(path, origin, late("python"))
    return found
