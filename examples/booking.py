"""A tool that asks before it acts, and one that takes long. `rune tool call book day=friday -t examples/booking.py`"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rune import Context, Server, ToolError

server = Server("booking", timeout=120)


@dataclass
class Guest:
    name: str
    seats: Annotated[int, Meta(ge=1, le=8)] = 2


@server.tool(annotations={"destructiveHint": False})
async def book(day: Literal["friday", "saturday"], ctx: Context) -> str:
    "Book a table. The guest is asked who they are."
    answer = await ctx.elicit(f"A table on {day}: who comes?", Guest)
    if not answer.accepted:
        raise ToolError("nobody said who comes, nothing was booked")
    guest: Guest = answer.content
    return f"{day}: {guest.seats} seats for {guest.name}"


@server.tool(task="optional")
async def cook(dish: str, ctx: Context, minutes: Annotated[int, Meta(ge=1, le=60)] = 3) -> str:
    "Cook a dish. A client that knows tasks may come back for it."
    for minute in range(minutes):
        await ctx.progress(minute, minutes, f"{dish}: {minutes - minute} min left")
        await asyncio.sleep(0.02)
    return f"{dish} is ready"
