"""`rune prompt list|get`."""

from __future__ import annotations

from pathlib import Path

import click

from rune.cli import screen
from rune.cli.arguments import parse
from rune.cli.options import reaching
from rune.cli.reach import reach
from rune.connect import Client


@click.group()
def prompt() -> None:
    """List and get prompts.

    \b
    rune prompt list -t tools.py
    rune prompt get review language=python code="print(1)"
    """


@prompt.command("list")
@reaching
def list_(targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool) -> None:
    """List the prompts and their arguments; those in brackets may be left out."""
    prompts = reach(Client.list_prompts, targets, file, url)
    if as_json:
        screen.value({"prompts": prompts})
        return
    rows = []
    for each in prompts:
        arguments = each.get("arguments") or ()
        words = [one["name"] if one.get("required") else f"[{one['name']}]" for one in arguments]
        rows.append((each["name"], " ".join(words), screen.first_line(each.get("description"))))
    screen.rows(rows)


@prompt.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@reaching
def get(
    name: str, arguments: tuple[str, ...], targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool
) -> None:
    """Get a prompt, filled in."""
    values = {
        key: value if isinstance(value, str) else screen.compact(value) for key, value in parse(arguments).items()
    }
    result = reach(lambda client: client.get_prompt(name, values), targets, file, url)
    if as_json:
        screen.value(dict(result))
        return
    for message in result.messages:
        screen.out(screen.paint(f"{message.get('role', '?')}:", "dim"))
        content = message.get("content")
        screen.out(screen.block(content if isinstance(content, dict) else {}).removesuffix("\n"))
