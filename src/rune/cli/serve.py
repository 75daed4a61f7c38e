"""`rune serve`: a gateway on HTTP and WebSocket, or on stdio."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from rune import __version__
from rune.app import Listen, listening
from rune.auth.guard import loopback
from rune.build import house
from rune.cli import AUDIT, LISTENERS, WAITING, late, screen
from rune.cli.options import address, configured, plugging, reading, served
from rune.config import places
from rune.config.model import Config
from rune.errors import ConfigError
from rune.gateway import Gateway
from rune.request import Request
from rune.view import exposed

run_loop: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
try:
    import uvloop
except ImportError:
    pass
else:
    run_loop = uvloop.run

_EXAMPLES: Final = {"integer": "{}", "number": "{}.5", "boolean": "true", "string": "hello"}


@click.command()
@click.option("--host", metavar="HOST", help="Address to listen on; 127.0.0.1 when not given.")
@click.option("--port", metavar="PORT", type=click.IntRange(0, 65535), help="7331 when not given; 0 takes a free one.")
@click.option("--stdio", is_flag=True, help="Speak on stdin and stdout instead.")
@click.option("--allow-anonymous", is_flag=True, help="Serve another host than loopback, to whoever can reach it.")
@click.option("-v", "--verbose", is_flag=True, help="Log more, to stderr.")
@plugging
@served
def serve(targets: tuple[str, ...], file: Path | None, as_json: bool, **options: Any) -> None:
    """Serve the tools, resources and prompts of all TARGETs as one MCP endpoint.

    A TARGET is the URL of an MCP server, a Python file, or an mcp.json; a command after -- is an MCP server on stdio.
    Without any: ./rune.toml, ./mcp.json, or a demo.

    \b
    rune serve tools.py
    rune serve tools.py https://example.org/mcp -- npx -y some-mcp-server
    rune serve --config rune.toml --port 8000
    rune serve --stdio tools.py
    """
    level = logging.DEBUG if options["verbose"] else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(name)s: %(message)s")
    # What comes from a reload is for whoever has changed the config, and what plugins are made of for who runs them.
    for name in ("rune.reload", "rune.plugged"):
        logging.getLogger(name).setLevel(logging.INFO)
    config = configured(targets, file, options["plugins"])
    given = {key: options[key] for key in ("host", "port") if options[key] is not None}
    table = msgspec.structs.replace(config.server, **given)
    if not (options["stdio"] or options["allow_anonymous"] or loopback(table.host)):
        raise screen.Misuse(
            f"{table.host} can be reached by others, and whoever reaches it may call every tool",
            "--host 127.0.0.1, or --allow-anonymous if that is meant",
        )
    again = reading(targets, file or config.path, options["plugins"])
    if table.audit is not None:
        _audit(table.audit, config)
    run_loop(_serve(config, again, listening(table), stdio=options["stdio"], as_json=as_json))


def _audit(place: str, config: Config) -> None:
    """Records of plugins go where the config says."""
    if place != "stderr" and config.path is not None:
        place = str(config.path.parent / place)
    try:
        late(AUDIT)(place)
    except OSError as error:
        raise ConfigError(
            f"{place}: {(error.strerror or str(error)).lower()}", hint="[server] audit is a file that can be written"
        ) from None


async def _serve(config: Config, load: Callable[[], Config], listen: Listen, *, stdio: bool, as_json: bool) -> None:
    async with AsyncExitStack() as stack:
        # Files of tools may print while they are loaded; on stdio that would get between the messages.
        with redirect_stdout(sys.stderr):
            home = await stack.enter_async_context(house(config, places.catalogs(os.environ)))
        if stdio:
            await late(LISTENERS["stdio"])(home, listen, load=load)
            return
        call = await example(home.gateway, config)

        def ready(port: int) -> None:
            announce(config, listen, port, call, as_json=as_json)

        await late(LISTENERS["http"])(home, listen, ready=ready, load=load)


async def example(gateway: Gateway, config: Config) -> str:
    """A call to try first: a tool that only reads and takes simple arguments, else the list of tools.

    Only Python files are looked at: they answer at once, and a server that does not must not hold this up.
    """
    for mount, source in zip(gateway.mounts, config.sources, strict=True):
        if source.kind != "python":
            continue
        for item in (await mount.source.catalog(Request("catalog"))).tools:
            tool = item.value
            words = _words(tool.get("inputSchema", {}))
            if tool.get("annotations", {}).get("readOnlyHint") and words is not None:
                return " ".join(["tool call", exposed(mount.prefix, item.name), *words])
    return "tool list"


def _words(schema: dict[str, Any]) -> list[str] | None:
    """`key=value` for the required arguments; None when one of them is not simple."""
    properties = schema.get("properties", {})
    required = [(key, properties.get(key, {}).get("type")) for key in schema.get("required", ())]
    if not all(isinstance(kind, str) and kind in _EXAMPLES for _, kind in required):
        return None
    return [f"{key}={_EXAMPLES[kind].format(number)}" for number, (key, kind) in enumerate(required, 1)]


def announce(config: Config, listen: Listen, port: int, call: str, *, as_json: bool) -> None:
    """What a person sees first: where it is, what to give to a client, and what to try."""
    place = address(listen.host, port)
    url = f"http://{place}/mcp"
    names = [source.name for source in config.sources]
    step = f"{screen.program()} {call} --url {url}"
    # Where nothing is configured, what other programs have may be what is wanted; it is offered, not taken.
    found = late(WAITING)() if [source.origin for source in config.sources] == ["demo"] else {}
    if as_json:
        profiles = {name: f"{url}/{name}" for name in config.profiles}
        value = {
            "url": url, "websocket": f"ws://{place}/mcp", "sources": names, "profiles": profiles, "next": step,
        }  # fmt: skip
        screen.value({**value, "found": found} if found else value)
        return
    entry = {"mcpServers": {config.server.name or "rune": {"type": "http", "url": url}}}
    screen.out(f"rune {__version__} serves {', '.join(names) or 'nothing: the config has no sources'}")
    screen.out(f"\n  {screen.paint(url, 'bold')}")
    for name in config.profiles:
        screen.out(f"  {screen.paint(f'{url}/{name}', 'bold')}")
    screen.out("")
    screen.out(f"client:  {msgspec.json.encode(entry).decode()}")
    screen.out(f"next:    {screen.paint(step, 'cyan')}")
    if found:
        servers = ", ".join(f"{count} of {title}" for title, count in found.items())
        screen.out(f"found:   servers of other programs ({servers}): {screen.program()} import takes them over")
