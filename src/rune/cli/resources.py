"""`rune resource list|read`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import click

from rune.cli import screen
from rune.cli.options import reaching
from rune.cli.reach import reach
from rune.connect import Client


@click.group()
def resource() -> None:
    """List and read resources.

    \b
    rune resource list -t tools.py
    rune resource read demo://about
    """


@resource.command("list")
@reaching
def list_(targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool) -> None:
    """List the resources, and the templates of those that are made on demand."""

    async def work(client: Client) -> dict[str, Any]:
        return {
            "resources": await client.list_resources(),
            "resourceTemplates": await client.list_resource_templates(),
        }

    found = reach(work, targets, file, url)
    if as_json:
        screen.value(found)
        return
    lines = [(each["uri"], each) for each in found["resources"]]
    lines += [(each["uriTemplate"], each) for each in found["resourceTemplates"]]
    screen.rows(
        [
            (uri, each.get("mimeType", ""), screen.first_line(each.get("description") or each.get("name")))
            for uri, each in lines
        ]
    )


@resource.command()
@click.argument("uri")
@reaching
def read(uri: str, targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool) -> None:
    """Read a resource. Text is printed, bytes are written as they are when stdout is no terminal."""
    result = reach(lambda client: client.read_resource(uri), targets, file, url)
    if as_json:
        screen.value(dict(result))
        return
    for part in result.contents:
        if isinstance(part.get("text"), str):
            screen.out(screen.clean(part["text"]).removesuffix("\n"))
        else:
            screen.data(base64.b64decode(part.get("blob", "")), part.get("mimeType", "bytes"))
