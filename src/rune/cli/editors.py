"""`rune connect` and `rune import`: the configs of programs that speak MCP, written to and read from."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click

from rune.cli import screen
from rune.cli.keeping import ask_about, keep
from rune.cli.options import address, configured, editing, reaching, surroundings
from rune.config.editors import EDITORS, Editor, Found, Machine, Table, chosen
from rune.config.edits import Draft
from rune.config.files import check_url, read_toml
from rune.config.settling import locate, settle
from rune.config.takeover import Taken, take
from rune.errors import ConfigError

CLIENTS: Final = click.Choice(["claude", *EDITORS])


def client_of(name: str) -> Editor:
    """The editor that was named."""
    try:
        return chosen(name, Machine())
    except ConfigError as error:
        raise screen.Misuse(error.message, error.hint) from None


@click.command()
@click.argument("client", metavar="[CLIENT]", type=CLIENTS, required=False)
@click.option("--project", is_flag=True, help="In the config of the project in this folder.")
@click.option("--profile", metavar="NAME", help="Only this part of a gateway that runs.")
@click.option("--name", metavar="NAME", default="rune", help="What the entry is called; rune when not given.")
@click.option("--print", "only_print", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--replace", is_flag=True, help="Take the place of an entry of that name.")
@click.option("--remove", is_flag=True, help="Take the entry out again.")
@reaching
def connect(
    client: str | None, targets: tuple[str, ...], file: Path | None, url: str | None, as_json: bool, **options: Any
) -> None:
    """Make a program that speaks MCP use Rune: one entry in its config, the rest of that file stays as it is.

    The program starts `rune serve --stdio` for itself, or connects to the --url of a gateway that runs, or to a
    --profile of it. The config of before is kept beside it. CLIENT is claude-code, claude-desktop, cursor, vscode or
    codex; without one the clients are listed.

    \b
    rune connect cursor
    rune connect codex --config work/rune.toml --print
    rune connect vscode --project --url http://127.0.0.1:7331/mcp
    rune connect claude-code --profile review
    """
    if client is None:
        _clients(options["name"], as_json)
        return
    editor = client_of(client)
    try:
        path = editor.place(Machine(), project=options["project"])
    except ConfigError as error:
        raise screen.Misuse(error.message, error.hint) from None
    draft = Draft(path)
    keys = (editor.servers, options["name"])
    if options["remove"]:
        if draft.at(*keys) is None:
            raise ConfigError(f"{path}: there is no server {options['name']}", hint=f"rune connect {editor.name}")
        draft.drop(keys)
    else:
        if options["profile"] is not None:
            url = _profile(options["profile"], targets, file, url)
            targets, file = (), None
        draft.put(
            keys, _entry(editor, targets, file, url), kind="another server", hint="--replace, or --name OTHER",
            replace=options["replace"],
        )  # fmt: skip
    if not options["only_print"]:
        draft.save(backup=True)
    _told(editor, draft, written=draft.changed and not options["only_print"], as_json=as_json)


def _told(editor: Editor, draft: Draft, *, written: bool, as_json: bool) -> None:
    backup = str(draft.backup) if written and draft.before is not None else None
    if as_json:
        screen.value({
            "client": editor.name, "config": str(draft.path), "changed": draft.changed, "written": written,
            "backup": backup, "diff": draft.diff(),
        })  # fmt: skip
        return
    if not draft.changed:
        screen.err(f"{draft.path}: it is there already")
        return
    screen.diff(draft.diff(), asked=not written)
    if written:
        screen.err(f"{draft.path}: written" + (f", as it was before: {backup}" if backup else ""))
        screen.err(f"next: start {editor.title} again, or its list of MCP servers")


def _profile(name: str, targets: tuple[str, ...], file: Path | None, url: str | None) -> str:
    """Where a profile is served: below the URL that was given, or that the config says."""
    if url is not None:
        return f"{url.rstrip('/')}/{name}"
    config = configured(targets, file)
    if name not in config.profiles:
        close = screen.closest(name, config.profiles)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(config.profiles) or 'none'}"
        raise screen.Misuse(f"there is no profile {name}", hint)
    return f"http://{address(config.server.host, config.server.port)}/mcp/{name}"


def _entry(editor: Editor, targets: tuple[str, ...], file: Path | None, url: str | None) -> Table:
    """Our entry in the form of this editor."""
    command = click.get_current_context().obj or []
    if url is not None:
        if targets or file is not None or command:
            raise screen.Misuse("--url names a running gateway: it goes with no TARGET and no --config")
        try:
            check_url(url)
        except ConfigError as error:
            raise screen.Misuse(error.message, error.hint) from None
        return editor.url(url) if editor.urls else editor.command([*program(), "serve", "--stdio", url])
    config = configured(targets, file)
    if not (targets or command) and config.path is None:
        raise screen.Misuse("there is no rune.toml here", "rune add NAME URL makes one; or -t tools.py")
    words = [] if config.path is None else ["--config", str(config.path.absolute())]
    words += [target if "://" in target else str(Path(target).expanduser().absolute()) for target in targets]
    words += ["--", *command] if command else []
    return editor.command([*program(), "serve", "--stdio", *words])


def program() -> list[str]:
    """How others start this very Rune: they may know neither our PATH nor our virtual environment."""
    beside = Path(sys.executable).parent / ("rune.exe" if sys.platform == "win32" else "rune")
    if beside.is_file():
        return [str(beside)]
    found = shutil.which("rune")
    return [found] if found else [sys.executable, "-m", "rune"]


def _clients(name: str, as_json: bool) -> None:
    machine = Machine()
    shown = []
    for editor in EDITORS.values():
        path = editor.user(machine)
        try:
            draft = Draft(path)
            state = "not here" if draft.before is None else (
                "not connected" if draft.at(editor.servers, name) is None else "connected"
            )  # fmt: skip
        except ConfigError as error:
            state = error.message
        shown.append({"client": editor.name, "state": state, "config": str(path)})
    if as_json:
        screen.value({"clients": shown})
    else:
        screen.rows([(each["client"], each["state"], each["config"]) for each in shown])


# --- import ---


@click.command("import")
@click.argument("client", metavar="[CLIENT]", type=CLIENTS, required=False)
@click.option("--print", "only_print", is_flag=True, help="Show what would change, and write nothing.")
@editing
def import_(client: str | None, file: Path, as_json: bool, only_print: bool) -> None:
    """Take over the servers of an editor into a rune.toml; without CLIENT those of all that are found.

    The config of the editor is only read. Its secrets go into the vault, and the rune.toml gets their names.

    \b
    rune import cursor
    rune import --print
    """
    machine = Machine()
    editors = list(EDITORS.values()) if client is None else [client_of(client)]
    places, broken = locate(editors, machine)
    if not places and not broken:
        raise ConfigError(
            "no servers found", hint=f"looked at {', '.join(str(each.user(machine)) for each in editors)}"
        )
    draft = Draft(file)
    if draft.before is not None:
        read_toml(file, surroundings(), draft.text)
    rows: list[tuple[Found, Taken]] = []
    kept: dict[str, str] = {}
    for place in places:
        for taken in take(place, machine, file):
            settle(draft, taken, surroundings(), kept)
            rows.append((place, taken))
    if not only_print:
        keep(kept | ask_about(each for _, each in rows))
        draft.save()
    if as_json:
        _value(draft, rows, broken, only_print)
    else:
        screen.diff(draft.diff())
        screen.rows([(place.editor.name, each.key, *_outcome(each)) for place, each in rows])
        for error in broken:
            screen.error(error.message, error.hint)
        if draft.changed and not only_print:
            screen.err("next: rune doctor looks at all of them")
    if broken:
        raise click.exceptions.Exit(1)


def _outcome(taken: Taken) -> tuple[str, str]:
    if taken.reason is not None:
        return "left out", taken.reason
    return f"now {taken.name}", taken.remark


def _value(draft: Draft, rows: list[tuple[Found, Taken]], broken: list[ConfigError], only_print: bool) -> None:
    screen.value({
        "config": str(draft.path), "written": draft.changed and not only_print, "diff": draft.diff(),
        "taken": [
            {
                "client": place.editor.name, "file": str(place.path), "server": each.key, "name": each.name,
                "needs": each.needs, "secrets": list(each.secrets), "asks": each.asks, "without": each.lost,
            }
            for place, each in rows if each.reason is None
        ],
        "left_out": [
            {"client": place.editor.name, "file": str(place.path), "server": each.key, "reason": each.reason}
            for place, each in rows if each.reason is not None
        ],
        "errors": [{"message": error.message, "hint": error.hint} for error in broken],
    })  # fmt: skip
