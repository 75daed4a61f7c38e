"""`rune tool list|show|call`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from rune.cli import screen
from rune.cli.arguments import needs_schema, parse
from rune.cli.options import reaching
from rune.cli.reach import reach
from rune.client.views import ToolResult
from rune.connect import Client
from rune.errors import NotFound

PATIENCE: Final = 0.3
"""Seconds before progress is shown: what is faster needs none."""


@click.group()
def tool() -> None:
    """List, show and call tools.

    \b
    rune tool list -t tools.py
    rune tool call add a=1 b=2 -t tools.py
    rune tool call search q=cats limit:=5 --url http://127.0.0.1:7331/mcp
    rune tool call get_current_time timezone=Europe/Paris -- mcp-server-time
    """


@tool.command("list")
@reaching
def list_(targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool) -> None:
    """List the tools."""
    tools = reach(Client.list_tools, targets, file, url)
    if as_json:
        screen.value({"tools": tools})
    else:
        screen.rows([(each["name"], screen.first_line(each.get("description"))) for each in tools])


@tool.command()
@click.argument("name")
@reaching
def show(name: str, targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool) -> None:
    """Show one tool: what it is for and what it takes."""
    definition = reach(lambda client: find(client, name), targets, file, url)
    if as_json:
        screen.value(definition)
        return
    schema = definition.get("inputSchema", {})
    screen.out(screen.paint(definition["name"], "bold"))
    if definition.get("description"):
        screen.out(screen.clean(definition["description"]))
    fields = [_field(schema, key, child) for key, child in (schema.get("properties") or {}).items()]
    if fields:
        screen.out()
        screen.rows(fields)


def _field(schema: dict[str, Any], key: str, child: Any) -> tuple[str, str, str]:
    child = child if isinstance(child, dict) else {}
    kind = child.get("type") or ("one of several" if child.keys() & {"anyOf", "oneOf"} else "any")
    need = "required" if key in schema.get("required", ()) else "optional"
    if "default" in child:
        need = f"default {screen.compact(child['default'])}"
    shown = kind if isinstance(kind, str) else " or ".join(map(str, kind))
    return key, f"{shown}, {need}", screen.first_line(child.get("description"))


async def find(client: Client, name: str) -> dict[str, Any]:
    """The definition of a tool: by its name, or by the end of it when only one has that.

    Raises:
        NotFound: naming what comes closest.
    """
    tools = {each["name"]: each for each in await client.list_tools()}
    if name in tools:
        return tools[name]
    ends = [each for each in tools if each.endswith(f"_{name}")]
    if len(ends) == 1:
        return tools[ends[0]]
    close = screen.closest(name, tools)
    raise NotFound(f"unknown tool: {name}", hint=f"did you mean {close}?" if close else "rune tool list shows them")


@tool.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), default=60.0, help="60 when not given."
)
@reaching
def call(
    name: str, arguments: tuple[str, ...], targets: tuple[str, ...], file: Path | None, url: str | None, **options: Any
) -> None:
    """Call a tool.

    KEY=VALUE is text, or what the tool's schema says where that is clear; KEY:=JSON is any JSON value. A single JSON
    object instead gives all arguments at once. With --json the whole result is printed.
    """
    parse(arguments)
    progress = Progress()

    async def work(client: Client) -> ToolResult:
        schema = (await find(client, name)).get("inputSchema", {}) if needs_schema(arguments) else {}
        return await client.call_tool(name, parse(arguments, schema), timeout=options["timeout"])

    watching = screen.terminal(err=True)
    result = reach(
        work,
        targets,
        file,
        url,
        on_progress=progress if watching else None,
        on_log=log_line if watching else None,
        timeout=options["timeout"],
    )
    progress.clear()
    if options["as_json"]:
        screen.value(dict(result))
    else:
        show_content(result)
    if result.is_error:
        raise click.exceptions.Exit(1)


class Progress:
    """Progress on a terminal, on one line that is cleared in the end."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._shown = False

    def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        if time.monotonic() - self._since < PATIENCE:
            return
        share = f"{100 * progress / total:3.0f} %" if total else f"{progress:g}"
        screen.status(f"{share}  {screen.first_line(message)}")
        self._shown = True

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._shown:
            screen.status("")


def log_line(level: str, data: Any, logger: str | None) -> None:
    """A log message of a tool."""
    screen.err(screen.paint(f"{level}: {data if isinstance(data, str) else screen.compact(data)}", "dim", err=True))


def show_content(result: ToolResult) -> None:
    """The content of a result as text; what is no text is named."""
    if result.is_error:
        screen.error(result.text or "the tool failed")
        return
    for block in result.content:
        screen.out(screen.block(block).removesuffix("\n"))
    if not result.content and result.structured is not None:
        screen.value(result.structured)
