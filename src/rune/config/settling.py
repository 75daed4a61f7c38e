"""Sources find their place in a `rune.toml`: under a name, once, and so that the file stays good.

Called by `rune add`, `rune import`, and `rune serve` where it has nothing to serve.
"""

from __future__ import annotations

import shlex
from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any, cast

from rune.config.editors import EDITORS, Editor, Found, Machine, Table, find
from rune.config.edits import Draft
from rune.config.files import read_toml
from rune.config.takeover import Taken, take
from rune.errors import ConfigError


def locate(editors: Iterable[Editor], machine: Machine) -> tuple[list[Found], list[ConfigError]]:
    """What can be read, and what cannot: one broken file does not keep back the others."""
    places, broken = [], []
    for editor in editors:
        try:
            places += list(find(editor, machine))
        except ConfigError as error:
            broken.append(error)
    return places, broken


def waiting(machine: Machine | None = None) -> dict[str, int]:
    """How many servers the editors on this machine have that could be taken over."""
    machine = machine or Machine()
    counts: dict[str, int] = {}
    for place in locate(EDITORS.values(), machine)[0]:
        good = sum(each.reason is None for each in take(place, machine, machine.folder / "rune.toml"))
        if good:
            counts[place.editor.title] = counts.get(place.editor.title, 0) + good
    return counts


def put(draft: Draft, taken: Taken, *, replace: bool = False) -> None:
    """Put a source into a draft under its name, if it is not there already.

    Raises:
        ConfigError: another source has that name.
    """
    hint = "another name, or --replace"
    if not draft.put(("sources", taken.name), taken.table, kind="a source", hint=hint, replace=replace):
        taken.leave("it is there already")


def settle(draft: Draft, taken: Taken, environ: Mapping[str, str], kept: dict[str, str]) -> None:
    """Put a source of somebody else's into a draft, under a free name; one that is there, or would make the file
    useless, is left out. Its secrets come into `kept`, as `environ` has them."""
    if taken.reason is not None:
        return
    sources = draft.at("sources") or {}
    twin = next((name for name, other in sources.items() if isinstance(other, dict) and same(taken.table, other)), None)
    if twin is not None:
        taken.leave(f"it is there already, as {twin}")
        return
    base, number = taken.name, 2
    while taken.name in sources:
        taken.name, number = f"{base[: 23 - len(str(number))].rstrip('-')}-{number}", number + 1
    for name in list(taken.secrets):
        _rename(taken, name, ChainMap(kept, cast(Any, environ)))
    new = {f"secret:{name}": value for name, value in taken.secrets.items()}
    before = draft.text, draft.value
    try:
        draft.add(("sources", taken.name), taken.table)
        read_toml(draft.path, ChainMap(new, kept, cast(Any, environ)), draft.text)
    except ConfigError as error:
        draft.text, draft.value = before
        taken.leave(error.message.removeprefix(f"{draft.path}:"))
    else:
        kept |= new


def _rename(taken: Taken, name: str, environ: Mapping[str, str]) -> None:
    """A secret of another value keeps its name: this one gets one of its own."""
    value, fresh, number = taken.secrets.pop(name), name, 2
    while environ.get(f"secret:{fresh}") not in (None, value):
        fresh, number = f"{name[:60]}-{number}", number + 1
    taken.secrets[fresh] = value
    for key in ("env", "headers"):
        for inner, text in taken.table.get(key, {}).items():
            taken.table[key][inner] = text.replace(f"${{secret:{name}}}", f"${{secret:{fresh}}}")


def same(table: Table, other: Mapping[str, Any]) -> bool:
    """Whether two sources lead to the same server."""
    command = other.get("command")
    words = shlex.split(command) if isinstance(command, str) else command
    return (table.get("url"), table.get("command")) == (other.get("url"), words)
