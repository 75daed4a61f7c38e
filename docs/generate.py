"""Writes docs/reference from the code: `python docs/generate.py [FOLDER]`. CI compares what stands there with this."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click
import msgspec

from rune.cli import VERBS, late, rune
from rune.config.model import (
    FIELDS_OF,
    AuthTable,
    ConditionTable,
    PluginTable,
    ProfileTable,
    ServerTable,
    SourceTable,
)
from rune.config.policy import LimitsTable, NetworkTable, PolicyTable, StorageTable
from rune.config.sizes import Size

HEAD = "<!-- Made by docs/generate.py. -->\n\n"

STATUS = """\
Exit status: 0, or 1 when the thing asked for failed, or 2 for wrong usage. Errors go to stderr, in at most four lines.
Colours and aligned columns are for terminals: a pipe gets one line per entry with tabs between. `NO_COLOR` is
respected. `rune-cli` is a second name of the command.
"""

FILES = """\
The file is strict: an unknown key is an error. `${NAME}`, `${env:NAME}`, `${NAME:-default}` and
`${env:NAME:-default}` are filled in from the environment, in any value; a default stands in for a variable that is
unset or empty. `${secret:NAME}` comes from the vault (`rune secret set NAME`). Relative paths are meant from the folder
of the file.
"""

FOREIGN = """
NAME has 1 to 24 of the characters a-z, 0-9 and `-`.

# mcp.json

Of each entry of `mcpServers` these keys are read: `command`, `args`, `env`, `cwd`, `url`, `headers`, `disabled`. All
others are passed over. The name of the source is the key, in lower case and with `-` for what a name cannot have.
Commands run in the current folder if there is no `cwd`. Variables are filled in as in `rune.toml`.
"""


def cli() -> str:
    """The command line: every verb with its help."""
    root = click.Context(rune, info_name="rune", help_option_names=["-h", "--help"])
    text = f"{HEAD}# The command `rune`\n\n{_help(root)}\n{STATUS}"
    for name, (place, _) in VERBS.items():
        for context in _contexts(name, late(place), root):
            text += f"\n## {context.command_path.replace(' [OPTIONS]', '')}\n\n{_help(context)}"
    return text


def _contexts(name: str, command: click.Command, parent: click.Context) -> Iterator[click.Context]:
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from _contexts(child, command.commands[child], context)


def _help(context: click.Context) -> str:
    context.max_content_width = context.terminal_width = 100
    return f"```text\n{context.get_help().rstrip()}\n```\n"


def config() -> str:
    """The config: every key of `rune.toml`."""
    text = f"{HEAD}# rune.toml\n\n{FILES}"
    for title, shape in (
        ("[server]", ServerTable),
        ("[sources.NAME]", SourceTable),
        ("[sources.NAME.auth]", AuthTable),
        ("[sources.NAME.policy]", PolicyTable),
        ("[[sources.NAME.policy.storage]]", StorageTable),
        ("[[sources.NAME.policy.network]]", NetworkTable),
        ("[sources.NAME.policy.limits]", LimitsTable),
        ("[profiles.NAME]", ProfileTable),
        ("[[plugins]]", PluginTable),
        ("[[plugins.conditions]]", ConditionTable),
    ):
        text += f"\n## {title}\n\n{_first_upper((shape.__doc__ or '').partition(': ')[2])}\n\n"
        text += "| key | type | default | meaning |\n|---|---|---|---|\n"
        text += "".join(_row(field, shape) for field in msgspec.structs.fields(shape))
    return text + FOREIGN


def _row(field: msgspec.structs.FieldInfo, shape: type) -> str:
    hint = get_type_hints(shape, include_extras=True)[field.name]
    meaning = next((each.description for each in _metas(hint) if each.description), "")
    owners = FIELDS_OF.get(field.name) if shape is SourceTable else None
    if owners and "`" not in meaning:
        meaning += f"; for {' and '.join(f'`{owner}`' for owner in owners)}"
    required = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return f"| `{field.name}` | {_type(hint)} | {'' if required else _default(default)} | {meaning} |\n"


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _metas(hint: Any) -> Iterator[msgspec.Meta]:
    if get_origin(hint) is Annotated:
        yield from (each for each in hint.__metadata__ if isinstance(each, msgspec.Meta))


def _type(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is tuple:
        return "list of texts" if arguments[0] is str else "list of tables, see below"
    if origin is dict:
        return "table" if arguments[1] is Any else "table of texts"
    if origin is Literal:
        return "one of " + ", ".join(f"`{each}`" for each in arguments)
    if arguments:
        return " or ".join(_type(each) for each in arguments if each is not type(None))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "table, see below"
    return {str: "text", int: "number", float: "seconds", bool: "true or false", Size: "size"}[hint]


def _default(value: Any) -> str:
    if value is None or value in ((), {}) or isinstance(value, msgspec.Struct):
        return ""
    if isinstance(value, Size):
        return f'`"{value // 2**20}MiB"`'
    return f"`{msgspec.json.encode(value).decode().removesuffix('.0')}`"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cli.md").write_text(cli())
    (folder / "config.md").write_text(config())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference")
