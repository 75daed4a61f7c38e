"""TARGETs: what the words of a command line, or the folder that we are in, mean as one Config."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rune.config.components import pinned, reference
from rune.config.files import check_url, plain_name, read_mcp_json, read_toml
from rune.config.model import Config, Kind, SourceConfig
from rune.errors import ConfigError

ACCEPTED: Final = "a URL (https://…), a file tools.py or x.wasm, an mcp.json, or -- command args…"
DEMO: Final = Path(__file__).resolve().parent.parent / "demo" / "tools.py"
FILES: Final[dict[str, Kind]] = {".py": "python", ".wasm": "wasm"}
"""Files that are a server, and the kind of each."""
DEFAULTS: Final = ("rune.toml", "mcp.json")


def load(
    targets: Sequence[str],
    command: Sequence[str] = (),
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
) -> Config:
    """The Config that targets, a command after `--` and a config file make together; without any, what lies here.

    Raises:
        ConfigError: for a target or file that cannot be accepted, and for names that collide.
    """
    if not targets and not command and file is None:
        file = next((path for path in map(Path, DEFAULTS) if path.is_file()), None)
        if file is None:
            return Config(sources=(SourceConfig("demo", "python", place=str(DEMO), origin="demo"),))
    config = Config() if file is None else _read(file, environ)
    single = [_single(target) for target in targets if not target.endswith(".json")]
    if command:
        single.append(_command(tuple(command)))
    single = _with_ports(single)
    files = [_file(target) for target in targets if target.endswith(".json")]
    several = [source for path in files for source in read_mcp_json(path, environ)]
    if len(single) + len(several) + len(config.sources) > 1:
        single = [replace(source, prefix=f"{source.name}_") for source in single]
    sources = (*config.sources, *several, *single)
    _distinct(sources)
    return replace(config, sources=sources, files=(*config.files, *files))


def _read(file: Path, environ: Mapping[str, str]) -> Config:
    if file.suffix == ".json":
        return Config(sources=read_mcp_json(file, environ), path=file, files=(file,))
    return read_toml(file, environ)


def check_target(target: str) -> None:
    """Refuse what is no TARGET, before anything is read.

    Raises:
        ConfigError: saying what is accepted.
    """
    if target.endswith(".json"):
        _file(target)
    else:
        _single(target)


def _single(target: str) -> SourceConfig:
    """A target that is one server."""
    if target.startswith("oci://"):
        name = plain_name(reference(target).repository.rpartition("/")[2])
        stands_for = str(Path(f"{name}.wasm").resolve())
        return SourceConfig(
            name, "wasm", place=target, digest=pinned(target, None), stands_for=stands_for, origin=target
        )
    if re.match(r"[a-z]+://", target):
        url = check_url(target)
        return SourceConfig(plain_name(urlsplit(url).hostname or ""), "url", place=url, origin=target)
    for suffix, kind in FILES.items():
        if target.endswith(suffix):
            path = _file(target)
            return SourceConfig(plain_name(path.stem), kind, place=str(path.resolve()), origin=target)
    if target.endswith(".toml"):
        raise ConfigError(f"{target}: a config is no TARGET", hint=f"--config {target}")
    raise ConfigError(f"{target}: no TARGET that is known", hint=f"it is {ACCEPTED}")


def _file(target: str) -> Path:
    path = Path(target).expanduser()
    if not path.is_file():
        raise ConfigError(f"{target}: no such file", hint=f"a TARGET is {ACCEPTED}")
    return path


def _command(command: tuple[str, ...]) -> SourceConfig:
    base = Path(command[0]).name.removesuffix(".exe").removeprefix("mcp-server-")
    return SourceConfig(plain_name(base), "command", command=command, origin=f"-- {command[0]}")


def name_of(target: str | Sequence[str]) -> str:
    """The name that the source of a target or of a command gets."""
    return (_single(target) if isinstance(target, str) else _command(tuple(target))).name


def _with_ports(sources: list[SourceConfig]) -> list[SourceConfig]:
    """Hosts get their port where two would have the same name."""
    counts = Counter(source.name for source in sources)
    return [
        replace(source, name=_ported(source)) if source.kind == "url" and counts[source.name] > 1 else source
        for source in sources
    ]


def _ported(source: SourceConfig) -> str:
    parts = urlsplit(source.place)
    port = str(parts.port or (443 if parts.scheme in ("https", "wss") else 80))
    return f"{source.name[: 23 - len(port)].rstrip('-')}-{port}"


def _distinct(sources: Sequence[SourceConfig]) -> None:
    seen: dict[str, SourceConfig] = {}
    for source in sources:
        other = seen.setdefault(source.name, source)
        if other is not source:
            raise ConfigError(
                f"{source.name}: two sources have this name ({other.origin} and {source.origin})",
                hint=f"name them in a rune.toml: [sources.{source.name}] and [sources.{source.name[:22]}-2]",
            )
