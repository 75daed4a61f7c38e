"""`rune inspect`: what a server is, which revision it speaks, what it offers, and the frames that said so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import click
import msgspec

from rune.build import build, wire_of
from rune.cli import screen
from rune.cli.examine import dial
from rune.cli.options import configured, reaching, targets_of
from rune.client.calls import Call, Inbox, Wire
from rune.config.model import Config, SourceConfig
from rune.config.targets import FILES
from rune.connect import Client
from rune.errors import RuneError
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.protocol.methods import REVISIONS
from rune.protocol.modern import SERVER_KEY

Show: TypeAlias = Callable[[str, bytes], None]

_OFFERS: Final = {"tools": "name", "resources": "uri", "resourceTemplates": "uriTemplate", "prompts": "name"}


@click.command()
@click.option("--frames", is_flag=True, help="Show what goes over the wire, on stderr.")
@reaching
@targets_of
def inspect(
    words: tuple[str, ...], targets: tuple[str, ...], file: Path | None, url: str | None, **options: Any
) -> None:
    """Show what servers are and offer: revision, name, capabilities, tools, resources, prompts.

    \b
    rune inspect https://example.org/mcp
    rune inspect --frames -- mcp-server-time
    """
    config = configured((*words, *targets, *((url,) if url else ())), file)

    def show(direction: str, frame: bytes) -> None:
        screen.err(f"{direction} {frame.decode(errors='replace')}")

    with redirect_stdout(sys.stderr):
        servers = asyncio.run(_all(config, show if options["frames"] else None))
    if options["as_json"]:
        screen.value({"servers": servers})
    else:
        for server in servers:
            _print(server)
    if any("error" in server for server in servers):
        raise click.exceptions.Exit(1)


async def _all(config: Config, show: Show | None) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_one(config, source, show) for source in config.sources)))


async def _one(config: Config, source: SourceConfig, show: Show | None) -> dict[str, Any]:
    head = {"name": source.name, "kind": source.kind, "what": source.shown}
    try:
        if source.kind in FILES.values():
            alone = replace(config, sources=(replace(source, prefix="", tools=()),))
            async with build(alone) as gateway, gateway, Client(gateway) as client:
                return {
                    **head, "revisions": list(REVISIONS), "serverInfo": gateway.identity.wire(),
                    **await _offers(client, await client.discover()),
                }  # fmt: skip
        make = wire_of(source)
        wire = make if show is None else lambda: cast(Wire, Recorded(make(), show))
        async with dial(source, wire) as connection:
            discovered = connection.discovered
            info = (discovered.get("_meta") or {}).get(SERVER_KEY)
            async with Client(connection.handle) as client:
                return {
                    **head, "revisions": [connection.era.revision], "serverInfo": info,
                    **await _offers(client, discovered),
                }  # fmt: skip
    except RuneError as error:
        return {**head, "error": error.message, "hint": error.hint}


async def _offers(client: Client, discovered: dict[str, Any]) -> dict[str, Any]:
    capabilities = discovered.get("capabilities") or {}
    found: dict[str, Any] = {"capabilities": capabilities, "instructions": discovered.get("instructions")}
    found |= {key: [] for key in _OFFERS}
    if "tools" in capabilities:
        found["tools"] = await client.list_tools()
    if "resources" in capabilities:
        found["resources"] = await client.list_resources()
        found["resourceTemplates"] = await client.list_resource_templates()
    if "prompts" in capabilities:
        found["prompts"] = await client.list_prompts()
    return found


def _print(server: dict[str, Any]) -> None:
    screen.out(f"{screen.paint(server['name'], 'bold')}  {screen.clean(server['what'])}")
    if "error" in server:
        screen.error(server["error"], server["hint"])
        return
    info = server["serverInfo"] or {}
    lines = [
        ("server", f"{info.get('name', '?')} {info.get('version', '')}"),
        ("revision", ", ".join(server["revisions"])),
        ("capabilities", ", ".join(_capabilities(server["capabilities"])) or "none"),
    ]
    if server["instructions"]:
        lines.append(("instructions", screen.first_line(server["instructions"])))
    for kind, key in _OFFERS.items():
        lines += [(f"{kind} {len(server[kind])}", ", ".join(str(each.get(key)) for each in server[kind]))] * bool(
            server[kind]
        )
    screen.rows([(f"  {name}", text) for name, text in lines])


def _capabilities(capabilities: dict[str, Any]) -> list[str]:
    """The names, with those of their flags and extensions."""
    found = []
    for name, value in capabilities.items():
        inner = [key for key, flag in value.items() if flag is not False] if isinstance(value, dict) else []
        found.append(f"{name} ({', '.join(inner)})" if inner else name)
    return found


class Recorded:
    """A wire that shows what goes over it; all else is the wire's own."""

    def __init__(self, wire: Wire, show: Show) -> None:
        self._wire = wire
        self._show = show

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def open(self, inbox: Inbox, on_lost: Callable[[], None]) -> None:
        def heard(envelope: Envelope, call: Call | None) -> None:
            self._show("<", _frame(envelope))
            inbox(envelope, call)

        await self._wire.open(heard, on_lost)

    async def exchange(self, call: Call) -> Envelope:
        self._show(">", call.frame)
        envelope = await self._wire.exchange(call)
        # Most results are taken out of their frames before there is an envelope.
        taken = call.result is not None
        self._show("<", jsonrpc.result_frame(call.id, call.result or b"") if taken else _frame(envelope))
        return envelope

    def post(self, frame: bytes) -> None:
        self._show(">", frame)
        self._wire.post(frame)

    async def tell(self, frame: bytes) -> None:
        self._show(">", frame)
        await self._wire.tell(frame)


def _frame(envelope: Envelope) -> bytes:
    """An envelope as JSON again, without what it did not have."""
    members = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    return jsonrpc.encode({
        name: value for name, value in members.items()
        if value is not msgspec.UNSET and not (isinstance(value, msgspec.Raw) and not bytes(value))
    })  # fmt: skip
