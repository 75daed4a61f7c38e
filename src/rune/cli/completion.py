"""`rune completion`: the script that makes a shell complete verbs, options and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rune.cli import screen
from rune.cli.options import common


@click.command()
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@common
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of a shell.

    \b
    bash   eval "$(rune completion bash)"
    zsh    eval "$(rune completion zsh)"
    fish   rune completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells of the choice"
    script = kind(click.get_current_context().find_root().command, {}, "rune", "_RUNE_COMPLETE").source()
    if as_json:
        screen.value({"shell": shell, "script": script})
    else:
        screen.out(script)
