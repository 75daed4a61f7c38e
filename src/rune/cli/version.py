"""`rune version`."""

from __future__ import annotations

import platform

import click

from rune import __version__
from rune.cli import screen
from rune.cli.options import common
from rune.protocol.methods import REVISIONS


@click.command()
@common
def version(as_json: bool) -> None:
    """Print the version of Rune, of Python, and the protocol revisions that are spoken."""
    if as_json:
        screen.value({"rune": __version__, "python": platform.python_version(), "protocol": list(REVISIONS)})
    else:
        screen.out(f"rune {__version__} (Python {platform.python_version()}; MCP {', '.join(REVISIONS)})")
