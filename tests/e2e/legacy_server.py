"""A server on stdio of the official SDK's 1.x line, run with the interpreter of its own environment.

It knows only sessions: a question of `greet` reaches the one who called by way of the gateway alone.
"""

import asyncio
import os
from pathlib import Path

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("legacy")


class Name(BaseModel):
    """What is asked for."""

    name: str


@server.tool()
async def pid() -> str:
    """The process that answers."""
    return str(os.getpid())


@server.tool()
async def wait(path: str) -> str:
    """Answer once a file is there."""
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    return str(os.getpid())


@server.tool()
async def greet(ctx: Context) -> str:
    """Ask for a name."""
    answer = await ctx.elicit(message="Who?", schema=Name)
    return f"hello {answer.data.name} from {os.getpid()}"


server.run()
