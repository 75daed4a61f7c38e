"""A server in Python, as a file and as a component.

rune serve examples/wasm/units.py
rune wasm build examples/wasm/units.py && rune serve examples/wasm/units.wasm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rune import Context, NotFound, Server, ToolError

server = Server("units", version="1.0.0", instructions="Convert lengths.")

METRES = {"m": 1.0, "km": 1000.0, "mile": 1609.344, "foot": 0.3048}


@dataclass
class Length:
    """A number and its unit."""

    value: float
    unit: str


@server.tool
def convert(value: float, source: str, target: Literal["m", "km", "mile", "foot"] = "m") -> Length:
    """Convert a length.

    Args:
        value: How many
        source: Unit of the value
    """
    if source not in METRES:
        raise ToolError(f"{source}: no such unit, but there are {', '.join(METRES)}")
    return Length(round(value * METRES[source] / METRES[target], 6), target)


@server.tool
async def table(unit: str, ctx: Context) -> str:
    "A unit in all the others, one line each."
    lines = []
    for done, other in enumerate(METRES, 1):
        lines.append(f"1 {unit} = {METRES[unit] / METRES[other]:g} {other}")
        await ctx.progress(done, len(METRES))
    await ctx.info(f"{len(lines)} lines")
    return "\n".join(lines)


@server.resource("unit://{name}")
def unit(name: str) -> dict[str, float]:
    "What a unit is in metres."
    if name not in METRES:
        raise NotFound(f"no unit {name}", data={"uri": f"unit://{name}"})
    return {"metres": METRES[name]}


@server.prompt
def explain(name: str) -> str:
    "Ask where a unit comes from."
    return f"Where does the unit {name} come from?"


@server.completion("explain", "name")
def units(typed: str) -> list[str]:
    return [each for each in METRES if each.startswith(typed)]
