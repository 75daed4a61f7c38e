"""`rune wasm inspect|grant|revoke`: what a component asks for, and what it gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from rune.build import components, late, policy_of, stock_of
from rune.cli import screen
from rune.cli.options import surroundings
from rune.config.files import read_toml
from rune.config.model import SourceConfig
from rune.errors import ConfigError, NotFound

WORD = click.argument("component", metavar="FILE|NAME")
CONFIG = click.option(
    "--config",
    "config",
    metavar="FILE",
    default=Path("rune.toml"),
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where NAME stands; ./rune.toml when not given.",
)


def subject(word: str, config: Path) -> SourceConfig:
    """The component that a word means: a file, or a source of a config.

    Raises:
        NotFound: neither.
    """
    path = Path(word)
    if path.is_file():
        return SourceConfig(path.stem, "wasm", place=str(path.resolve()), origin=word)
    known = sources(config) if config.is_file() else []
    found = next((source for source in known if source.name == word), None)
    if found is None:
        close = screen.closest(word, [source.name for source in known])
        hint = (
            f"did you mean {close}?"
            if close
            else "rune wasm list shows the sources; a component is a file or one of them"
        )
        raise NotFound(f"{word}: no file, and no component of {config}", hint=hint)
    return found


def sources(config: Path) -> list[SourceConfig]:
    """The components of a config."""
    return [source for source in read_toml(config, surroundings()).sources if source.kind == "wasm"]


def held(source: SourceConfig) -> str | None:
    """What is said about an update that is held, if there is one.

    Raises:
        ConfigError: the component is not here, or is none.
    """
    stock = stock_of(source)
    found = stock.choose().held
    return None if found is None else f"{found}; {stock.hint}"


@click.command("inspect")
@WORD
@click.option("--tools", "run", is_flag=True, help="Run it without any grant, for the names of what it offers.")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(component: str, run: bool, config: Path, as_json: bool) -> None:
    """Show what a component imports, exports and asks for. Nothing of it runs unless --tools says so.

    \b
    rune wasm inspect tools.wasm
    """
    source = subject(component, config)
    if screen.terminal(err=True):
        screen.status(f"reading {source.name}")
    file = stock_of(source).meant().path
    found: dict[str, Any] = late("look")(file, components())
    if source.digest:
        found |= {"file": source.place, "digest": source.digest}
    found["policy"] = _shown(policy_of(source))
    found["held"] = held(source)
    if run:
        found |= late("offers")(file, components())
    if as_json:
        screen.value(found)
        return
    rows = [(key, screen.clean(each)) for key, value in found.items() if value is not None for each in _lines(value)]
    screen.rows(rows)


def _shown(policy: Any) -> dict[str, Any]:
    """A policy without what is secret in it."""
    value: dict[str, Any] = msgspec.to_builtins(policy, enc_hook=int)
    value["environment"] = sorted(value["environment"])
    for each in value["network"]:
        each["inject"] = sorted(each["inject"])
    return value


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key} = {msgspec.json.encode(each).decode()}" for key, each in value.items()]
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


@click.command("grant")
@WORD
@click.argument("grants", nargs=-1)
@CONFIG
def grant(component: str, grants: tuple[str, ...], config: Path) -> None:
    """Let a component do something: in the policy beside it, which a running gateway reads again. A version that is
    held is accepted by it; without grants that is all.

    \b
    rune wasm grant tools.wasm storage=./data:/data network=api.example.org
    rune wasm grant tools.wasm storage=./out:/out:write environment=LEVEL=3
    rune wasm grant tools.wasm
    """
    source = subject(component, config)
    waiting = held(source) is not None
    if grants:
        _own_policy(source)
        screen.out(str(late("grant")(source.file, grants)))
    if waiting or not grants:
        stock_of(source).accept()
        screen.err(f"{source.name}: the version that is there now is accepted")


@click.command("revoke")
@WORD
@click.argument("grants", nargs=-1, required=True)
@CONFIG
def revoke(component: str, grants: tuple[str, ...], config: Path) -> None:
    """Take back what was granted.

    \b
    rune wasm revoke tools.wasm network=api.example.org
    """
    source = subject(component, config)
    _own_policy(source)
    screen.out(str(late("revoke")(source.file, grants)))


def _own_policy(source: SourceConfig) -> None:
    """A file that nobody reads is not written."""
    if source.policy is not None:
        raise ConfigError(f"{source.origin}: the policy of {source.name} stands there", hint="change it there")
