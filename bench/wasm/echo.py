"""The guest in Python."""

from __future__ import annotations

from rune import Server

server = Server("echo")


@server.tool
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool
def length(text: str) -> str:
    """How long it is."""
    return str(len(text))


@server.tool
def work(rounds: int) -> str:
    """Compute for a while."""
    found = 0
    for at in range(rounds):
        found = (found * 31 + at) & 0xFFFFF
    return str(found)
