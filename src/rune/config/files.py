"""Reads `rune.toml` and `mcp.json`: strict about ours, tolerant about other people's, exact about what is wrong."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from rune.config.component_toml import in_folder, known_policy, pinned_digest, with_folders
from rune.config.fill import Unfilled, fill
from rune.config.lines import Lines, find, json_lines, toml_lines
from rune.config.lines import Path as KeyPath
from rune.config.model import (
    FIELDS_OF,
    KINDS,
    SOURCE_NAME,
    AuthTable,
    Config,
    Kind,
    PluginTable,
    ProfileTable,
    ServerTable,
    SourceConfig,
    SourceTable,
)
from rune.config.sizes import Size, read_size
from rune.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

_TABLES: Final = ("server", "sources", "profiles", "plugins")
_WHERE: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_TOML_ERROR: Final = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)
_AT_THE_END: Final = " (at end of document)"
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One server of an `mcp.json`. Keys that belong to other programs are passed over."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    type: str | None = None
    disabled: bool = False


class Document:
    """A config file, decoded, that can say on which line something stands."""

    def __init__(self, path: Path, environ: Mapping[str, str], text: str | None = None) -> None:
        self.path = path
        self.environ = environ
        try:
            text = path.read_bytes().decode() if text is None else text
        except OSError as error:
            raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check the path") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
        text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        try:
            self.value, self.lines = _parse(text, path.suffix)
        except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(syntax_error(path, text, error), hint="correct the syntax there") from None
        except RecursionError:
            raise ConfigError(f"{path}: nested too deeply", hint="a config is a few tables deep") from None

    def origin(self, *path: str | int) -> str:
        """`file:line` of a key."""
        return f"{self.path}:{find(self.lines, path)}"

    def error(self, path: KeyPath, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(f"{self.origin(*path)}: {message}", hint=hint)

    def table(self, path: KeyPath, value: Any) -> dict[str, Any]:
        """A value that must be a table."""
        if not isinstance(value, dict):
            raise self.error(path, f"{_dotted(path)} must be a table")
        return value

    def read(self, path: KeyPath, value: Any, shape: type[T], known: tuple[str, ...] | None = None) -> T:
        """A table as a struct, filled in and checked."""
        table = self.table(path, value)
        self.known(path, table, known or tuple(shape.__struct_fields__))
        try:
            return msgspec.convert(fill(table, self.environ, path), shape, strict=False, dec_hook=_hook)
        except Unfilled as error:
            raise self.error(error.path, error.message, error.hint) from None
        except msgspec.ValidationError as error:
            match = _WHERE.match(str(error))
            assert match is not None, "every text matches"
            steps = tuple(int(index) if index else key for key, index in _STEP.findall(match["path"] or ""))
            what = _lower(match["what"]).replace("`", "")
            raise self.error((*path, *steps), f"{_dotted((*path, *steps))}: {what}") from None

    def known(self, path: KeyPath, table: dict[str, Any], known: tuple[str, ...]) -> None:
        """Refuse a key that nobody reads."""
        for key in table:
            if key not in known:
                close = get_close_matches(key, known, 1, 0.5)
                where = f" in [{_dotted(path)}]" if path else ""
                hint = f'did you mean "{close[0]}"?' if close else "known keys: " + ", ".join(known)
                raise self.error((*path, key), f'unknown key "{key}"{where}', hint)


def read_toml(path: Path, environ: Mapping[str, str], text: str | None = None) -> Config:
    """A `rune.toml`; `text` is what shall stand in it, where that is not written yet.

    Raises:
        ConfigError: naming file and line.
    """
    document = Document(path, environ, text)
    document.known((), document.value, _TABLES)
    server = document.read(("server",), document.value.get("server", {}), ServerTable)
    if server.store.startswith("sqlite:"):
        place = in_folder(path, server.store.removeprefix("sqlite:"))
        server = msgspec.structs.replace(server, store=f"sqlite:{place}")
    entries = document.table(("sources",), document.value.get("sources", {}))
    sources = (_toml_source(document, name, value) for name, value in entries.items())
    profiles = document.table(("profiles",), document.value.get("profiles", {}))
    plugins = _plugins(document, document.value.get("plugins", []))
    return Config(
        server,
        tuple(source for source in sources if source is not None),
        {name: _profile(document, name, value) for name, value in profiles.items()},
        path,
        (path,),
        {key: document.origin("server", key) for key in ServerTable.__struct_fields__}
        | {f"plugins.{index}": document.origin("plugins", index) for index in range(len(plugins))},
        plugins,
    )


def _plugins(document: Document, entries: Any) -> tuple[PluginTable, ...]:
    if not isinstance(entries, list):
        raise document.error(("plugins",), "plugins must be tables: [[plugins]]")
    return tuple(document.read(("plugins", index), entry, PluginTable) for index, entry in enumerate(entries))


def _profile(document: Document, name: str, value: Any) -> ProfileTable:
    path = ("profiles", name)
    if not SOURCE_NAME.fullmatch(name):
        hint = f"rename it, for example [profiles.{plain_name(name)}]"
        raise document.error(path, f'profile name "{name}" is not 1 to 24 of a-z, 0-9 and "-"', hint)
    return document.read(path, value, ProfileTable)


def _toml_source(document: Document, name: str, value: Any) -> SourceConfig | None:
    path = ("sources", name)
    if not SOURCE_NAME.fullmatch(name):
        hint = f"rename it, for example [sources.{plain_name(name)}]"
        raise document.error(path, f'source name "{name}" is not 1 to 24 of a-z, 0-9 and "-"', hint)
    if document.table(path, value).get("enabled") is False:
        document.known(path, value, SourceTable.__struct_fields__)
        return None
    if isinstance(value.get("auth"), dict):
        document.known((*path, "auth"), value["auth"], AuthTable.__struct_fields__)
    if isinstance(value.get("policy"), dict):
        known_policy(document, (*path, "policy"), value["policy"])
    table = document.read(path, value, SourceTable)
    if not table.enabled:
        return None
    kind = _kind(document, path, value, table)
    command: tuple[str, ...] = ()
    place = ""
    digest = pinned_digest(document, path, table)
    if kind == "command":
        command = _split(document, (*path, "command"), table.command)
    elif digest:
        place = table.wasm or ""
    elif kind in ("python", "wasm"):
        place = _file(document, (*path, kind), getattr(table, kind))
    else:
        place = check_url(table.url or "", document.origin(*path, "url"))
        _check_auth(document, path, table)
    return SourceConfig(
        name=name,
        kind=kind,
        place=place,
        command=command,
        prefix=f"{name}_" if table.prefix is None else table.prefix,
        env=table.env,
        cwd=str(in_folder(document.path, table.cwd or ".")) if kind == "command" else None,
        headers=table.headers,
        auth=_with_file(document.path, table.auth),
        policy=with_folders(document, path, table.policy),
        digest=digest,
        private=table.private,
        stands_for=str(in_folder(document.path, f"{name}.wasm")) if digest else "",
        timeout=table.timeout,
        idle=table.idle,
        concurrency=table.concurrency,
        queue=table.queue,
        max_connections=table.max_connections,
        share=table.share,
        children=table.children,
        roots=tuple(root if "://" in root else in_folder(document.path, root).as_uri() for root in table.roots),
        protocol=table.protocol,
        validate=table.validate,
        tools=table.tools,
        origin=document.origin(*path),
    )


def _file(document: Document, path: KeyPath, text: str) -> str:
    place = in_folder(document.path, text)
    if not place.is_file():
        error = document.error(path, f"no such file: {place}", "it is meant from the folder of this file")
        # A reload looks out for it.
        error.data = place
        raise error
    return str(place)


def _kind(document: Document, path: KeyPath, value: dict[str, Any], table: SourceTable) -> Kind:
    """What a source is; keys that mean nothing for it are refused."""
    kinds = [kind for kind in KINDS if getattr(table, kind) is not None]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "none"
        raise document.error(path, f"[{_dotted(path)}] needs exactly one of {', '.join(KINDS)}; it has {said}")
    for key, owners in FIELDS_OF.items():
        if key in value and kinds[0] not in owners:
            message = f"{key} means nothing for a source with {kinds[0]}"
            raise document.error((*path, key), message, f"it belongs to {' and '.join(owners)}")
    return kinds[0]


def _check_auth(document: Document, path: KeyPath, table: SourceTable) -> None:
    """A sign-in that cannot work is said now, not when somebody calls a tool."""
    if table.auth is None:
        return
    problem = table.auth.problem()
    if problem is not None:
        key, message = problem
        raise document.error((*path, "auth", key), f"{_dotted((*path, 'auth', key))}: {message}")
    if any(name.lower() == "authorization" for name in table.headers):
        raise document.error(
            (*path, "auth"), "auth and an Authorization header exclude each other", "take one of them out"
        )


def _split(document: Document, path: KeyPath, command: str | tuple[str, ...] | None) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else tuple(command or ())
    except ValueError as error:
        raise document.error(path, f"command: {_lower(str(error))}", "write it as a list of words") from None
    if not words or not words[0]:
        raise document.error(path, "command is empty", 'for example command = ["npx", "-y", "some-server"]')
    return words


def read_mcp_json(path: Path, environ: Mapping[str, str]) -> tuple[SourceConfig, ...]:
    """The servers of an `mcp.json`. Commands run in the current directory, as editors run them in their project.

    Raises:
        ConfigError: naming file and line.
    """
    document = Document(path, environ)
    servers = document.table((), document.value).get("mcpServers")
    if servers is None:
        raise document.error((), 'there is no "mcpServers"', 'it looks like {"mcpServers": {"name": {"command": "…"}}}')
    entries = document.table(("mcpServers",), servers)
    sources = (_json_source(document, name, value) for name, value in entries.items())
    return tuple(source for source in sources if source is not None)


def _json_source(document: Document, key: str, value: Any) -> SourceConfig | None:
    path = ("mcpServers", key)
    if document.table(path, value).get("disabled") is True:
        return None
    entry = document.read(path, value, Entry, known=tuple(value))
    name = plain_name(key)
    origin = document.origin(*path)
    if (entry.command is None) == (entry.url is None):
        raise document.error(path, f'"{key}" needs either command or url')
    if entry.url is not None:
        place = check_url(entry.url, document.origin(*path, "url"))
        return SourceConfig(name, "url", place=place, prefix=f"{name}_", headers=entry.headers, origin=origin)
    if not entry.command:
        raise document.error((*path, "command"), "command is empty")
    return SourceConfig(
        name,
        "command",
        command=(entry.command, *entry.args),
        prefix=f"{name}_",
        env=entry.env,
        cwd=entry.cwd,
        origin=origin,
    )


def plain_name(text: str) -> str:
    """A source name made from any text: lower case, what is not allowed becomes "-"."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].rstrip("-")
    return name or "source"


def check_url(url: str, origin: str = "") -> str:
    """A URL of an MCP server; `origin` is where it stands.

    Raises:
        ConfigError: for another scheme or no host.
    """
    if not re.match(r"(https?|wss?)://[^/\s:?#]", url):
        raise ConfigError(
            f"{origin}{': ' if origin else ''}{url} is no URL of an MCP server",
            hint="it looks like https://example.org/mcp",
        )
    return url


def _parse(text: str, suffix: str) -> tuple[Any, Lines]:
    # The parsers first: looking for lines needs a text that they have accepted.
    if suffix == ".json":
        return json.loads(text), json_lines(text)
    return tomllib.loads(text), toml_lines(text)


def syntax_error(path: Path, text: str, error: tomllib.TOMLDecodeError | json.JSONDecodeError) -> str:
    """What a parser found wrong, with file and line."""
    if isinstance(error, json.JSONDecodeError):
        return f"{path}:{error.lineno}: {_lower(error.msg)} (column {error.colno})"
    match = _TOML_ERROR.fullmatch(str(error))
    if str(error).endswith(_AT_THE_END):
        return f"{path}:{text.rstrip().count(chr(10)) + 1}: {_lower(str(error))}"
    return f"{path}:{match[2]}: {_lower(match[1])} (column {match[3]})" if match else f"{path}: {_lower(str(error))}"


def _with_file(path: Path, auth: AuthTable | None) -> AuthTable | None:
    """The file of a token is meant from the folder of the config, too."""
    if auth is None or auth.assertion_file is None:
        return auth
    return msgspec.structs.replace(auth, assertion_file=str(in_folder(path, auth.assertion_file)))


def _hook(shape: type, value: Any) -> Any:
    assert shape is Size, "msgspec knows all other types of the tables"
    return read_size(value)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
