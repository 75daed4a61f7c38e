"""The command `rune`: its verbs, loaded late by one table, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from rune.cli import screen
from rune.errors import RuneError

VERBS: Final = {
    "serve": ("rune.cli.serve:serve", "Serve tools, resources and prompts as one MCP endpoint."),
    "add": ("rune.cli.add:add", "Add a source to a rune.toml, after a look at it."),
    "remove": ("rune.cli.sources:remove", "Take sources out of a rune.toml."),
    "list": ("rune.cli.sources:list_", "List the sources: state, tools, cost."),
    "import": ("rune.cli.editors:import_", "Take over the servers of an editor."),
    "connect": ("rune.cli.editors:connect", "Make an editor use Rune."),
    "tool": ("rune.cli.tools:tool", "List, show and call tools."),
    "resource": ("rune.cli.resources:resource", "List and read resources."),
    "prompt": ("rune.cli.prompts:prompt", "List and get prompts."),
    "plugins": ("rune.cli.plugins:plugins", "List, show and measure the plugins of a config."),
    "new": ("rune.cli.new:new", "Begin a plugin of your own."),
    "inspect": ("rune.cli.inspect:inspect", "Show what a server is and offers."),
    "wasm": ("rune.cli.wasm:wasm", "Build, add and grant WebAssembly components."),
    "auth": ("rune.cli.auth:auth", "Sign in to servers, list and end sign-ins."),
    "secret": ("rune.cli.secrets:secret", "Keep secrets for configs in the vault."),
    "doctor": ("rune.cli.doctor:doctor", "Say what is wrong with a source, and what to do."),
    "check": ("rune.cli.check:check", "Check a config without starting anything."),
    "version": ("rune.cli.version:version", "Print the version."),
    "completion": ("rune.cli.completion:completion", "Print the completion script of a shell."),
}


LISTENERS: Final = {"http": "rune.app.http:serve", "stdio": "rune.app.stdio:serve"}
"""How `serve` listens; HTTP brings uvicorn along, which stdio does not need."""

PLUGINS: Final = "rune.config.plugins_yaml:read_plugins"
"""Reads YAML, which nobody else needs."""

AUDIT: Final = "rune.records:audit"
"""Where the lines of plugins go, for configs that say so."""

WAITING: Final = "rune.config.settling:waiting"
"""What the editors of this machine have, for those who have nothing yet."""

VAULT: Final = "rune.auth.vault:Vault"
"""Opened by configs that say `${secret:NAME}`, and only then."""


def late(place: str) -> Any:
    """What an entry of these tables names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class Verbs(click.Group):
    """A group whose commands are imported when they are used; their one-line help stands in the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = late(VERBS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = screen.closest(args[0], VERBS) if args[0] not in VERBS else None
        if close:
            raise screen.Misuse(f"no such verb: {args[0]}", f"rune {close}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def rune() -> None:
    """Every tool behind one MCP endpoint.

    \b
    rune serve tools.py                      a Python file as an MCP server
    rune serve tools.py -- mcp-server-time   and another server beside it
    rune tool call add a=1 b=2               call a tool, here without a server
    """


def main(words: Sequence[str] | None = None) -> None:
    """Run the command and leave with 0, 1 when the thing asked for failed, or 2 for wrong usage."""
    sys.exit(run(list(sys.argv[1:] if words is None else words)))


def run(words: list[str]) -> int:
    """The exit status of a command line.

    What follows `--` is the command of an MCP server on stdio. It is taken off before the options are read.
    """
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    try:
        # A verb that ends by click's Exit makes this return its status.
        return rune.main(words, prog_name="rune", standalone_mode=False, obj=command) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        screen.err(error.format_message())
        return 2
    except click.UsageError as error:
        screen.misuse(error)
        return 2
    except click.Abort:
        screen.err("")
        return 130
    except RuneError as error:
        if "--debug" in words:
            raise
        screen.failure(error, as_json="--json" in words)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone, for example `| head`. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if "--debug" in words:
            raise
        screen.error(f"rune: {type(error).__name__}: {error}", "this is a bug; --debug shows where it comes from")
        return 1
