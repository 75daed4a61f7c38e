"""What the soak calls at servers of the newer revision: each answer carries what was asked."""

from __future__ import annotations

import asyncio

from rune import Context, Server

server = Server("soak")


@server.tool
async def echo(text: str) -> str:
    return text


@server.tool
async def slow(text: str) -> str:
    await asyncio.sleep(0.05)
    return text


@server.tool
async def report(text: str, ctx: Context) -> str:
    for step in range(3):
        await ctx.progress(step + 1, 3, text)
    return text
