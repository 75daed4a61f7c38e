"""`rune secret`: what `${secret:NAME}` in a config stands for. A value is never a word of a command line."""

from __future__ import annotations

import re
import sys
from typing import Final

import click

from rune.auth.vault import Vault
from rune.cli import screen
from rune.cli.options import common
from rune.errors import NotFound

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@click.group()
def secret() -> None:
    """Keep secrets in the vault of this user, for configs that say ${secret:NAME}.

    \b
    rune secret set github               asks for the value
    pass show github | rune secret set github
    """


def _checked(_ctx: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise screen.Misuse(f"{name!r} is no name of a secret", "up to 64 of a-z, A-Z, 0-9, _, . and -, first a letter")
    return name


_named = click.argument("name", metavar="NAME", callback=_checked)


@secret.command("set")
@_named
@common
def set_(name: str, as_json: bool) -> None:
    """Store a secret. Its value is read from stdin, or asked for on a terminal."""
    if screen.interactive():
        value = click.prompt(f"value of {name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise screen.Misuse(f"{name}: an empty value", f"printf %s … | rune secret set {name}")
    Vault().keep(name, value)
    if as_json:
        screen.value({"name": name})


@secret.command("list")
@common
def list_(as_json: bool) -> None:
    """List the names of all secrets, never their values."""
    names = Vault().names()
    if as_json:
        screen.value({"secrets": names})
        return
    for name in names:
        screen.out(name)


@secret.command()
@_named
@common
def remove(name: str, as_json: bool) -> None:
    """Remove a secret."""
    if not Vault().remove(name):
        raise NotFound(f"{name}: there is no secret of this name", hint="rune secret list")
    if as_json:
        screen.value({"name": name})
