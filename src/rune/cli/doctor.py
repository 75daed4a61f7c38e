"""`rune doctor`: cause and fix for every source that cannot be used. No tool is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rune.cli import screen
from rune.cli.examine import TIMEOUT, Examined, examine
from rune.cli.options import configured, reaching, targets_of


@click.command()
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT,
    help="What a server has to start and to answer; 30 when not given.",
)
@reaching
@targets_of
def doctor(
    words: tuple[str, ...], targets: tuple[str, ...], file: Path | None, url: str | None, **options: Any
) -> None:
    """Look at every source: does it start, which revision does it speak, what is wrong, and what to do about it.

    \b
    rune doctor
    rune doctor https://example.org/mcp -- npx -y some-mcp-server
    """
    found = examine(configured((*words, *targets, *((url,) if url else ())), file), options["timeout"])
    if options["as_json"]:
        screen.value({"sources": [told(each) for each in found], "ok": all(each.ok for each in found)})
    else:
        screen.rows([(each.source.name, each.state, each.summary) for each in found])
        for each in found:
            if each.error is not None:
                screen.error(each.error.message, each.hint)
    if not all(each.ok for each in found):
        raise click.exceptions.Exit(1)


def told(each: Examined) -> dict[str, Any]:
    """One source, as scripts read it."""
    return {
        "name": each.source.name,
        "ok": each.ok,
        "state": each.state,
        "error": None if each.error is None else each.error.message,
        "hint": each.hint,
        "stderr": "\n".join(each.stderr),
    }
