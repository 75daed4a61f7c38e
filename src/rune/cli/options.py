"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from rune.cli import PLUGINS, VAULT, late
from rune.cli.screen import Misuse
from rune.config.fill import Surroundings
from rune.config.model import Config
from rune.config.targets import check_target, load
from rune.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])


def _checked(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Words that are no TARGET are wrong usage; what is wrong inside of one comes out later."""
    for value in values:
        try:
            check_target(value)
        except ConfigError as error:
            raise Misuse(error.message, error.hint) from None
    return values


# click.Path lets shells complete files; URLs pass through it unchanged.
_WORD: dict[str, Any] = {"type": click.Path(), "callback": _checked}
_config = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A rune.toml or mcp.json.",
)


def common(function: F) -> F:
    """What every verb has."""
    function = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
        function
    )
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def served(function: F) -> F:
    """What verbs have that serve TARGETs."""
    function = click.argument("targets", metavar="[TARGET]...", nargs=-1, **_WORD)(function)
    return common(_config(function))


def configuring(function: F) -> F:
    """What verbs have that read a config and serve nothing."""
    return common(_config(function))


def plugging(function: F) -> F:
    """What verbs have that know plugins beside those of the config."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option("--plugins", metavar="FILE", type=kind, help="A plugins/config.yaml.")(function)


def targets_of(function: F) -> F:
    """TARGETs as plain words, beside those of `-t`."""
    return click.argument("words", metavar="[TARGET]...", nargs=-1, **_WORD)(function)


def reaching(function: F) -> F:
    """What verbs have that need a gateway: their own in process, or the URL of a running one."""
    function = click.option("--url", metavar="URL", help="A gateway or server that is running.")(function)
    function = _config(function)
    function = click.option("-t", "--target", "targets", metavar="TARGET", multiple=True, help="Repeatable.", **_WORD)(
        function
    )
    return common(function)


def editing(function: F) -> F:
    """What verbs have that edit a rune.toml."""
    return common(
        click.option(
            "--config",
            "file",
            metavar="FILE",
            default=Path("rune.toml"),
            type=click.Path(dir_okay=False, path_type=Path),
            callback=_is_toml,
            help="./rune.toml when not given.",
        )(function)
    )


def _is_toml(_ctx: click.Context, _parameter: click.Parameter, path: Path) -> Path:
    if path.suffix != ".toml":
        raise Misuse(f"{path} is no rune.toml, and only that is edited", "--config rune.toml")
    return path


def configured(targets: tuple[str, ...], file: Path | None, plugins: Path | None = None) -> Config:
    """The Config of a command line, with the command after `--` that `main` has put aside."""
    return reading(targets, file, plugins)()


def reading(targets: tuple[str, ...], file: Path | None, plugins: Path | None = None) -> Callable[[], Config]:
    """The same, to be read as often as it changes."""
    command = click.get_current_context().obj or ()

    def read() -> Config:
        config = load(targets, command, file, environ=surroundings())
        return config if plugins is None else _with_plugins(config, plugins)

    return read


def _with_plugins(config: Config, path: Path) -> Config:
    more, folder = late(PLUGINS)(path, surroundings())
    first = len(config.plugins)
    lines = {f"plugins.{first + index}": str(path) for index in range(len(more))}
    return replace(
        config,
        plugins=(*config.plugins, *more),
        plugin_folder=folder,
        files=(*config.files, path),
        lines={**config.lines, **lines},
    )


def surroundings() -> Surroundings:
    """What a config is filled in from."""
    return Surroundings(lambda: late(VAULT)())


def address(host: str, port: int) -> str:
    """Host and port as they stand in a URL; where a server listens everywhere, this machine is as good as any."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
