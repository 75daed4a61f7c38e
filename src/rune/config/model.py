"""The shape of a config: what `rune.toml` may say, and the Config that `build.py` makes a Gateway from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from rune.config.policy import PolicyTable
from rune.config.sizes import Seconds, Size, Texts
from rune.protocol.methods import REVISIONS

SOURCE_NAME: Final = re.compile(r"[a-z0-9-]{1,24}")

Prefix: TypeAlias = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,32}$")]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
StoreUrl: TypeAlias = Annotated[str, Meta(pattern="^(memory|sqlite:.+|rediss?://.+|unix://.+)$")]
Revision: TypeAlias = Annotated[str, Meta(pattern=f"^({'|'.join(REVISIONS)})$")]


class ServerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[server]`: how this gateway is reached, and its limits."""

    host: Annotated[str, Meta(description="address to listen on; only loopback goes without --allow-anonymous")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 takes a free one")] = 7331
    name: Annotated[Name | None, Meta(description='what this gateway calls itself; "rune" when not given')] = None
    instructions: Annotated[str | None, Meta(description="what clients are told about its tools as a whole")] = None
    allowed_hosts: Annotated[Texts, Meta(description="Host headers to accept besides loopback and `host`")] = ()
    allowed_origins: Annotated[Texts, Meta(description="Origin headers to accept besides loopback")] = ()
    max_body: Annotated[Size, Meta(description="largest message of a client; more is answered 413")] = Size(4 * 2**20)
    timeout: Annotated[Seconds, Meta(description="seconds that a request may take")] = 60.0
    keep_alive: Annotated[int, Meta(ge=1, description="seconds that an idle connection is kept open")] = 75
    max_sessions: Annotated[int, Meta(ge=1, description="sessions of older clients that are kept")] = 10_000
    session_idle: Annotated[Seconds, Meta(description="seconds until an idle one of them ends")] = 1800.0
    page_size: Annotated[int, Meta(ge=1, le=10_000, description="entries on one page of a list")] = 1000
    validate: Annotated[bool, Meta(description="check arguments for servers that do not say otherwise themselves")] = (
        False
    )
    store: Annotated[
        StoreUrl,
        Meta(
            description='where tasks and shared limits live: "memory", "sqlite:PATH", or a Redis: "redis://HOST" '
            '("rediss://" with TLS, "unix:///PATH" for a socket)'
        ),
    ] = "memory"
    audit: Annotated[
        str | None, Meta(description='file for what plugins do, a line of JSON each, or "stderr"; nowhere if not given')
    ] = None

    def __repr__(self) -> str:
        # The URL of a store may have a password in it.
        return f"ServerTable({self.host}:{self.port}, …)"


Grant: TypeAlias = Literal["authorization_code", "client_credentials", "jwt_bearer", "token_exchange"]
HttpUrl: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[^/?#]+")]


class AuthTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`auth` of a source with `url`: how Rune signs in there, where that cannot be found out."""

    grant: Annotated[Grant, Meta(description="how a token is obtained; all but the first need nobody at a browser")] = (
        "authorization_code"
    )
    client_id: Annotated[str | None, Meta(description="who Rune is there, or the https URL of a metadata document")] = (
        None
    )
    client_secret: Annotated[str | None, Meta(description="its secret; take it from the vault: ${secret:NAME}")] = None
    private_key: Annotated[str | None, Meta(description="a key in PEM that signs instead of a secret")] = None
    algorithm: Annotated[str, Meta(description="how it signs")] = "ES256"
    scopes: Annotated[Texts, Meta(description="what to ask for besides what the server names")] = ()
    issuer: Annotated[HttpUrl | None, Meta(description="the only authorization server to accept, wherever it is")] = (
        None
    )
    assertion_file: Annotated[str | None, Meta(description="a file with the token of a workload or of a person")] = None
    idp: Annotated[HttpUrl | None, Meta(description="token endpoint of the identity provider; for token_exchange")] = (
        None
    )
    idp_client_id: Annotated[str | None, Meta(description="who Rune is at the identity provider")] = None

    def __repr__(self) -> str:
        return f"AuthTable({self.grant}, …)"

    def problem(self) -> tuple[str, str] | None:
        """A key, and what is wrong with it."""
        needed = {
            "client_credentials": ("client_id",),
            "jwt_bearer": ("assertion_file",),
            "token_exchange": ("assertion_file", "idp", "client_id"),
        }.get(self.grant, ())
        missing = [key for key in needed if getattr(self, key) is None]
        if missing:
            return "grant", f"{self.grant} needs {' and '.join(missing)}"
        if self.client_id is None and (self.client_secret is not None or self.private_key is not None):
            return "client_secret" if self.private_key is None else "private_key", "belongs to a client_id"
        if self.grant == "client_credentials" and self.client_secret is None and self.private_key is None:
            return "grant", f"{self.grant} needs client_secret or private_key"
        return None


Mode: TypeAlias = Literal[
    "sequential", "enforce", "enforce_ignore_error", "transform", "permissive", "audit", "concurrent",
    "fire_and_forget", "disabled",
]  # fmt: skip


class ConditionTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the `conditions` of a plugin: globs. All that are given must match."""

    server_ids: Annotated[Texts, Meta(description="names of sources")] = ()
    tools: Annotated[Texts, Meta(description="names of tools, as clients see them")] = ()
    prompts: Annotated[Texts, Meta(description="names of prompts, as clients see them")] = ()
    resources: Annotated[Texts, Meta(description="URIs")] = ()
    user_patterns: Annotated[Texts, Meta(description="subjects of callers")] = ()


class PluginTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[plugins]]`: something that sees requests on their way down and results on their way up."""

    use: Annotated[str, Meta(description="a built-in plugin, an entry point of `rune.plugins`, or module.Class")]
    name: Annotated[Name | None, Meta(description="what it is called in logs and errors; as `use` when not given")] = (
        None
    )
    mode: Annotated[Mode, Meta(description="what it may do, and how it runs")] = "sequential"
    priority: Annotated[int, Meta(description="lower runs first")] = 100
    hooks: Annotated[Texts, Meta(description="the hooks it gets; all that it has when not given")] = ()
    conditions: Annotated[
        tuple[ConditionTable, ...], Meta(description="when it runs: if one of them holds; always when not given")
    ] = ()
    on_error: Annotated[
        Literal["fail", "ignore", "disable"], Meta(description="what follows when it raises or is late")
    ] = "fail"
    deadline: Annotated[Seconds, Meta(description="seconds that one hook may take")] = 5.0
    max_content_size: Annotated[Size, Meta(description="largest payload that it gets")] = Size(10 * 2**20)
    config: Annotated[dict[str, Any], Meta(description="for the plugin itself")] = {}


class SourceTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[sources.NAME]`: one thing that offers tools. Exactly one of `url`, `command`, `python`, `wasm` says
    what it is."""

    url: Annotated[str | None, Meta(description="an MCP server on HTTP or WebSocket")] = None
    command: Annotated[str | Texts | None, Meta(description="an MCP server on stdio: a list, or one string")] = None
    python: Annotated[str | None, Meta(description="a Python file with a `rune.Server`")] = None
    wasm: Annotated[str | None, Meta(description="a WebAssembly component: a file, an https:// URL, or oci://")] = None
    digest: Annotated[str | None, Meta(description="of a component from a URL: `sha256:…`; nothing else is run")] = None
    private: Annotated[bool, Meta(description="whether its URL may lead into this machine or network")] = False
    policy: Annotated[PolicyTable | None, Meta(description="what the component may do and cost")] = None
    prefix: Annotated[Prefix | None, Meta(description="put before its names; `NAME_` when not given")] = None
    env: Annotated[dict[str, str], Meta(description="environment variables for `command`")] = {}
    cwd: Annotated[str | None, Meta(description="where `command` runs; the folder of the file when not given")] = None
    headers: Annotated[dict[str, str], Meta(description="HTTP headers for `url`")] = {}
    auth: Annotated[AuthTable | None, Meta(description="how to sign in at `url`")] = None
    timeout: Annotated[Seconds | None, Meta(description="seconds that one of its answers may take")] = None
    idle: Annotated[
        Seconds | None, Meta(description="seconds without a call after which it sleeps; never if not given")
    ] = None
    concurrency: Annotated[int, Meta(ge=1, description="calls that it gets at the same time")] = 100
    queue: Annotated[int, Meta(ge=0, description="calls that may wait for their turn; more are refused at once")] = 1000
    max_connections: Annotated[int, Meta(ge=1, description="connections that are kept open to it")] = 100
    share: Annotated[
        Literal["all", "caller"],
        Meta(description="whether the connections of an older server serve all callers or one"),
    ] = "all"
    children: Annotated[int, Meta(ge=1, description="runs of an older server for clients that it may ask")] = 8
    roots: Annotated[Texts, Meta(description="folders or URIs for an older server that asks for roots unasked")] = ()
    protocol: Annotated[
        Revision | None, Meta(description="the one revision to speak with it; found out if not given")
    ] = None
    validate: Annotated[
        bool | None, Meta(description="check arguments against the schemas of its tools before it gets them")
    ] = None
    enabled: Annotated[bool, Meta(description="false leaves it out")] = True
    tools: Annotated[Texts, Meta(description="globs of the tools that are shown, by its own names")] = ()


class ProfileTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profiles.NAME]`: what is served at `/mcp/NAME`. What is not named here is not there."""

    tools: Annotated[Texts, Meta(description="globs of tools, by the names that clients see")] = ()
    prompts: Annotated[Texts, Meta(description="globs of prompts, by the names that clients see")] = ()
    resources: Annotated[Texts, Meta(description="globs of URIs, and of the templates that are listed")] = ()


Kind: TypeAlias = Literal["url", "command", "python", "wasm"]
KINDS: Final[tuple[Kind, ...]] = ("url", "command", "python", "wasm")
FIELDS_OF: Final[dict[str, tuple[Kind, ...]]] = {
    "env": ("command",),
    "cwd": ("command",),
    "headers": ("url",),
    "auth": ("url",),
    "timeout": ("url", "command"),
    "idle": ("url", "command"),
    "concurrency": ("url", "command"),
    "queue": ("url", "command"),
    "validate": ("url", "command", "wasm"),
    "max_connections": ("url",),
    "share": ("url", "command"),
    "children": ("url", "command"),
    "roots": ("url", "command"),
    "protocol": ("url", "command"),
    "policy": ("wasm",),
    "digest": ("wasm",),
    "private": ("wasm",),
}
"""Fields of a source that mean something for some kinds only."""


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source, resolved: `place` is its URL or file, `prefix` what its names start with, `origin` who says so."""

    name: str
    kind: Kind
    place: str = ""
    command: tuple[str, ...] = ()
    prefix: str = ""
    env: dict[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    auth: AuthTable | None = None
    policy: PolicyTable | None = None
    digest: str = ""
    private: bool = False
    stands_for: str = ""
    """Of a component that has to be fetched: the file that it would be, beside which its policy lies."""
    timeout: float | None = None
    idle: float | None = None
    concurrency: int = 100
    queue: int = 1000
    max_connections: int = 100
    share: Literal["all", "caller"] = "all"
    children: int = 8
    roots: tuple[str, ...] = ()
    protocol: str | None = None
    validate: bool | None = None
    tools: tuple[str, ...] = ()
    origin: str = ""

    @property
    def file(self) -> Path:
        """Of a component: where it lies, or would lie."""
        return Path(self.stands_for or self.place)

    @property
    def shown(self) -> str:
        """What it is, on one line."""
        return " ".join(self.command) if self.kind == "command" else self.place


@dataclass(frozen=True, slots=True)
class Config:
    """All that a Gateway is built from. `files` are those that it was read from, `lines` say where a key of `[server]`
    stands."""

    server: ServerTable = field(default_factory=ServerTable)
    sources: tuple[SourceConfig, ...] = ()
    profiles: dict[str, ProfileTable] = field(default_factory=dict)
    path: Path | None = None
    files: tuple[Path, ...] = ()
    lines: dict[str, str] = field(default_factory=dict)
    plugins: tuple[PluginTable, ...] = ()
    plugin_folder: Path | None = None
