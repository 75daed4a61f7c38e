"""The official SDK: `official.py stdio` or `official.py PORT stateful|stateless-json`; TOOLS=500 for a long list."""

from __future__ import annotations

import os
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer


async def echo(text: str) -> str:
    """Echo the text."""
    return text


async def lookup(
    query: str, limit: int = 10, offset: int = 0, exact: bool = False, fields: list[str] | None = None
) -> str:
    """Find the records that match a query, best first; with fields only these members of each record."""
    return f"{query} {limit} {offset} {exact} {fields}"


def build() -> MCPServer:
    server = MCPServer("bench", log_level="WARNING")
    many = int(os.environ.get("TOOLS", "0"))
    for number in range(many):
        server.add_tool(lookup, name=f"lookup_{number:03d}")
    if not many:
        server.add_tool(echo)
    return server


def main(where: str, mode: str = "") -> None:
    server = build()
    if where == "stdio":
        server.run("stdio")
    else:
        app = server.streamable_http_app(json_response="json" in mode, stateless_http="stateless" in mode)
        uvicorn.run(
            app,
            port=int(where),
            loop="uvloop",
            http="httptools",
            log_level="warning",
            access_log=False,
            # With 5 s it closes the connections of the first clients before the thousandth has come.
            timeout_keep_alive=75,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
