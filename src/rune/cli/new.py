"""`rune new plugin`: a package of one's own to begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from rune import __version__
from rune.cli import screen
from rune.cli.options import common
from rune.plugged import BUILT_IN
from rune.scaffold.package import LONGEST, likely, named, write

CARGO = "the Python half runs until it is built with cargo; Rust is had from https://rustup.rs"


@click.group()
def new() -> None:
    """Begin something of your own.

    \b
    rune new plugin hide-numbers
    rune new plugin hide-numbers --rust
    """


@new.command()
@click.argument("name")
@click.option("--rust", is_flag=True, help="With an inner loop in Rust beside the one in Python.")
@click.option(
    "-o", "--out", metavar="FOLDER", type=click.Path(path_type=Path), help="The folder to make; default: ./NAME."
)
@common
def plugin(name: str, rust: bool, out: Path | None, as_json: bool) -> None:
    """Write a plugin as a package of its own: it works, and has tests, a bench and a Makefile.

    NAME is of a-z, 0-9, "-" and "_", and becomes that of the package, the module, the class and the entry point.
    With --rust its inner loop is there twice, in Rust and in Python, and tests hold the two together; where the
    native half is not built the other one runs.

    \b
    rune new plugin hide-numbers --rust
    cd hide-numbers && make develop test
    rune serve --config example/rune.toml
    """
    found = named(name)
    if found is None:
        rule = f'a name has at most {LONGEST} of a-z, 0-9, "-" and "_", and is not that of a module of Python or Rune'
        raise screen.Misuse(f'"{name}": {rule}', f"rune new plugin {likely(name)}")
    if found.module in BUILT_IN:
        raise screen.Misuse(f'"{name}" is built in', f"rune new plugin my-{found.distribution}")
    folder = out or Path(name)
    written = write(found, folder, rust=rust, version=__version__)
    cargo = shutil.which("cargo") is not None
    if as_json:
        made = {"path": str(folder), "name": found.distribution, "class": f"{found.module}.plugin.{found.class_}"}
        screen.value({**made, "use": found.module, "rust": rust, "cargo": cargo, "files": written})
    else:
        screen.out(str(folder))
    if rust and not cargo:
        screen.error("cargo: is not installed", CARGO)
    if not as_json:
        screen.err(f"{len(written)} files; next: cd {folder} && make develop test")
