"""`rune wasm`: components from source files, from where they are had, what they ask for, and what they get."""

from __future__ import annotations

from pathlib import Path

import click

from rune.cli import screen
from rune.cli.wasm_policy import grant, inspect, revoke
from rune.cli.wasm_sources import add, list_, remove
from rune.sources.wasm.build import WORLDS, build


@click.group()
def wasm() -> None:
    """Build WebAssembly components, add those of others, look at them, and say what they may do.

    \b
    rune wasm build app.py        with componentize-py
    rune wasm build app.js        with componentize-qjs
    rune wasm build main.c        with zig and wasm-tools
    """


@wasm.command("build")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The component; default: SOURCE.wasm beside it.")
@click.option("--world", type=click.Choice(WORLDS), help="Default: what the source speaks of.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def build_(source: Path, out: Path | None, world: str | None, as_json: bool) -> None:
    """Build a component from a file of Python, JavaScript or C, and the modules beside it that it names.

    \b
    rune wasm build tools.py -o tools.wasm
    rune serve tools.wasm
    """
    if screen.terminal(err=True):
        screen.status(f"building {source.name}")
    built = build(source, out, world)
    if as_json:
        screen.value({"path": str(built.path), "world": built.world, "size": built.size})
        return
    screen.out(str(built.path))
    screen.err(f"{built.world}, {built.size / 1024:,.0f} KiB; next: rune serve {built.path}")


for verb in (add, list_, inspect, grant, revoke, remove):
    wasm.add_command(verb)
