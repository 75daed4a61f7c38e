"""`rune add`: a source more in a `rune.toml`, after a look at what it offers."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from rune.cli import screen
from rune.cli.examine import ESTIMATE, Examined, examine
from rune.cli.keeping import ask_about, ask_for, keep, missing
from rune.cli.options import editing, surroundings
from rune.cli.sources import told
from rune.config.editors import EDITORS, Machine, Table, read
from rune.config.edits import Draft
from rune.config.files import plain_name, read_toml
from rune.config.model import SOURCE_NAME, Config
from rune.config.settling import put, settle
from rune.config.takeover import Taken, plain_secrets, take
from rune.config.targets import FILES, check_target, name_of
from rune.errors import ConfigError, NeedsAuth

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME] [URL | tools.py | mcp.json]")
@click.option(
    "--env", "variables", metavar="NAME[=VALUE]", multiple=True, help="For a command; NAME alone: from yours."
)
@click.option("--secret", "secrets", metavar="NAME", multiple=True, help="For a command: a variable from the vault.")
@click.option("--header", "headers", metavar="NAME=VALUE", multiple=True, help="For a URL.")
@click.option("--prefix", metavar="TEXT", help="Put before its names; NAME_ when not given.")
@click.option("--replace", is_flag=True, help="Take the place of a source of that name.")
@click.option("--no-test", is_flag=True, help="Do not connect to it first.")
@editing
def add(words: tuple[str, ...], file: Path, as_json: bool, **options: Any) -> None:
    """Add a source to a rune.toml: connect to it, show what it offers and what that costs, and write it down.

    A command stands after --. Of an mcp.json all servers are added. What cannot be reached is not added; a server that
    wants a sign-in is. Secrets that are not in the vault yet are asked for, on a terminal.

    \b
    rune add docs https://example.org/mcp --header 'Authorization=Bearer ${secret:docs}'
    rune add jira --secret JIRA_TOKEN -- npx -y some-jira-server
    rune add files -- npx -y @modelcontextprotocol/server-filesystem .
    rune add tools.py
    rune add mcp.json
    """
    write(*_wanted(words, file, options), file, as_json=as_json, options=options)


def write(wanted: list[Taken], several: bool, file: Path, *, as_json: bool, options: dict[str, Any]) -> None:
    """Put sources into a rune.toml after a look at them: `options` are `replace` and `no_test`.

    Raises:
        ConfigError: the file is no good, or would be none.
    """
    kept: dict[str, str] = {}
    environ = ChainMap(kept, cast(Any, surroundings()))
    if not several:
        kept |= ask_for(missing(wanted[0].table, environ))
    draft = _draft(file, wanted, several, options["replace"], kept)
    if several:
        kept |= ask_about(wanted)
    config = read_toml(file, environ, draft.text)
    names = {each.name for each in wanted if each.reason is None}
    asked = () if options["no_test"] else tuple(source for source in config.sources if source.name in names)
    found = examine(Config(sources=asked)) if asked else []
    bad = {each.source.name for each in found if not (each.ok or isinstance(each.error, NeedsAuth))}
    if bad:
        for each in wanted:
            if each.name in bad:
                kept = {name: value for name, value in kept.items() if name.removeprefix("secret:") not in each.secrets}
        wanted = [each for each in wanted if each.name not in bad]
        draft = _draft(file, wanted, several, options["replace"], kept)
    if names - bad:
        keep(kept)
    draft.save()
    if as_json:
        screen.value({
            "config": str(file),
            "diff": draft.diff(),
            "added": sorted(names - bad),
            "left_out": [{"name": each.key, "reason": each.reason} for each in wanted if each.reason],
            "sources": [told(each) for each in found],
        })  # fmt: skip
    else:
        _show(draft, wanted, found, bad)
    if bad:
        raise click.exceptions.Exit(1)


def _draft(file: Path, wanted: Sequence[Taken], several: bool, replace: bool, kept: dict[str, str]) -> Draft:
    draft = Draft(file)
    if draft.before is not None:
        # A file that is no good is not written to.
        read_toml(file, surroundings(), draft.text)
    for each in wanted:
        if several:
            settle(draft, each, surroundings(), kept)
        else:
            put(draft, each, replace=replace)
    return draft


def _wanted(words: tuple[str, ...], file: Path, options: dict[str, Any]) -> tuple[list[Taken], bool]:
    """What is to be added, and whether it is what stands in somebody else's file."""
    command = click.get_current_context().obj or []
    table: Table
    if command:
        if len(words) > 1:
            raise screen.Misuse("before -- there is only a name", f"rune add {words[0]} -- {' '.join(command)}")
        name, table = (words[0] if words else name_of(command)), {"command": list(command)}
    elif not 1 <= len(words) <= 2:
        raise screen.Misuse("what is to be added?", "rune add NAME URL, or rune add NAME -- command args…")
    else:
        try:
            check_target(words[-1])
        except ConfigError as error:
            hint = f"rune add {words[0]} -- {words[1]} …" if len(words) == 2 else error.hint
            raise screen.Misuse(error.message, hint) from None
        if words[-1].endswith(".json"):
            return _several(words, file, options), True
        name, table = (words[0] if len(words) == 2 else name_of(words[0])), _single(words[-1], file)
    if not SOURCE_NAME.fullmatch(name):
        raise screen.Misuse(f'"{name}" is not 1 to 24 of a-z, 0-9 and "-"', f"for example {plain_name(name)}")
    return [Taken(name, name, _completed(table, options))], False


def _single(target: str, file: Path) -> Table:
    kind = next((kind for suffix, kind in FILES.items() if target.endswith(suffix)), None)
    if kind is None:
        return {"url": target}
    path = Path(target).expanduser().resolve()
    folder = file.absolute().parent.resolve()
    return {kind: str(path.relative_to(folder) if path.is_relative_to(folder) else path)}


def _completed(table: Table, options: dict[str, Any]) -> Table:
    env = dict(map(_variable, options["variables"]))
    for name in options["secrets"]:
        if not _VARIABLE.fullmatch(name):
            raise screen.Misuse(f"{name!r} is not NAME", "the value is asked for, or comes by rune secret set NAME")
        env[name] = f"${{secret:{name}}}"
    if env and "command" not in table:
        raise screen.Misuse("--env and --secret are for a command")
    headers = {}
    for text in options["headers"]:
        key, sign, value = text.partition("=")
        if not (key and sign):
            raise screen.Misuse(f"{text!r} is not NAME=VALUE")
        headers[key] = value
    if headers and "url" not in table:
        raise screen.Misuse("--header is for a URL")
    extra = {"env": env, "headers": headers}
    prefix = {} if options["prefix"] is None else {"prefix": options["prefix"]}
    return {**table, **prefix, **{key: item for key, item in extra.items() if item}}


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not _VARIABLE.fullmatch(name):
        raise screen.Misuse(f"{text!r} is not NAME or NAME=VALUE")
    return name, value if sign else f"${{{name}}}"


def _several(words: tuple[str, ...], file: Path, options: dict[str, Any]) -> list[Taken]:
    if (
        len(words) == 2
        or options["variables"]
        or options["secrets"]
        or options["headers"]
        or options["prefix"] is not None
    ):
        raise screen.Misuse("the servers of an mcp.json come with their names and settings", f"rune add {words[-1]}")
    path = Path(words[-1]).expanduser()
    machine = Machine()
    for name in ("claude-code", "vscode"):
        places = list(read(EDITORS[name], path, path.absolute().parent))
        if places:
            return [each for place in places for each in take(place, machine, file)]
    raise ConfigError(
        f'{path}: there is no "mcpServers"', hint='it looks like {"mcpServers": {"name": {"command": "…"}}}'
    )


def _show(draft: Draft, wanted: Sequence[Taken], found: Sequence[Examined], bad: set[str]) -> None:
    screen.diff(draft.diff())
    for each in wanted:
        for name in plain_secrets(each.table):
            screen.err(f"{each.key}: the value of {name} stands in the file as it is; rune secret set can keep it")
        if each.reason or each.remark:
            screen.err(f"{each.key}: {each.reason or each.remark}")
    for one in found:
        if one.error is None:
            screen.err(f"{one.source.name}: {one.summary}")
            continue
        skip = "--no-test adds it all the same" if one.source.name in bad else None
        screen.error(one.error.message, "; ".join(hint for hint in (one.hint, skip) if hint))
    screen.rows([(name, f"about {cost} tokens") for one in found for name, cost in one.tools.items()])
    total = sum(one.tokens for one in found)
    if total:
        screen.err(f"about {total} tokens in the context of a model ({ESTIMATE})")
