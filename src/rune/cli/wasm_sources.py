"""`rune wasm add|list|remove`: the components of a rune.toml."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from rune.build import components, late, policy_of, stock_of
from rune.cli import screen
from rune.cli.add import write
from rune.cli.options import editing
from rune.cli.sources import remove as remove_sources
from rune.cli.wasm_policy import sources
from rune.config.components import pinned, reference, remote
from rune.config.files import plain_name
from rune.config.model import SOURCE_NAME, SourceConfig
from rune.config.takeover import Taken
from rune.errors import ConfigError, NotFound, RuneError


@click.command("add")
@click.argument("words", nargs=-1, required=True, metavar="[NAME] FILE|URL|oci://…")
@click.option("--digest", metavar="sha256:…", help="Of the file at a URL; that of now when not given.")
@click.option("--private", is_flag=True, help="The URL may lead into this machine or network.")
@click.option("--prefix", metavar="TEXT", help="Put before its names; NAME_ when not given.")
@click.option("--replace", is_flag=True, help="Take the place of a source of that name.")
@click.option("--no-test", is_flag=True, help="Do not look at what it offers first.")
@editing
def add(words: tuple[str, ...], file: Path, as_json: bool, **options: Any) -> None:
    """Add a component to a rune.toml: a file, one from a URL, or one from a registry. What is fetched is pinned by its
    digest: nothing else will ever run in its place.

    \b
    rune wasm add tools.wasm
    rune wasm add https://example.org/tools.wasm
    rune wasm add maths oci://ghcr.io/example/maths:1.0
    """
    if len(words) > 2:
        raise screen.Misuse("at most a name and a component", "rune wasm add NAME oci://registry/repository:tag")
    place = words[-1]
    name = words[0] if len(words) == 2 else _name(place)
    if not SOURCE_NAME.fullmatch(name):
        raise screen.Misuse(f'"{name}" is not 1 to 24 of a-z, 0-9 and "-"', f"for example {plain_name(name)}")
    table = _far(name, place, options) if remote(place) else _near(place, file, options)
    if options["prefix"] is not None:
        table["prefix"] = options["prefix"]
    write([Taken(name, name, table)], False, file, as_json=as_json, options=options)


def _name(place: str) -> str:
    if place.startswith("oci://"):
        return plain_name(reference(place).repository.rpartition("/")[2])
    return plain_name(Path(urlsplit(place).path if remote(place) else place).stem)


def _near(place: str, file: Path, options: dict[str, Any]) -> dict[str, Any]:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(
            f"{place}: no such file", hint="a component is a file, a URL, or oci://registry/repository:tag"
        )
    if options["digest"] or options["private"]:
        raise screen.Misuse("--digest and --private are for a URL")
    folder = file.absolute().parent.resolve()
    return {"wasm": str(path.relative_to(folder) if path.is_relative_to(folder) else path)}


def _far(name: str, place: str, options: dict[str, Any]) -> dict[str, Any]:
    digest = options["digest"]
    if place.startswith("oci://"):
        digest = digest or reference(place).digest
    if digest is None:
        # Whether it may be fetched at all is said before it is.
        pinned(place if not place.startswith("oci://") else f"{place}@sha256:{64 * '0'}", f"sha256:{64 * '0'}")
        if screen.terminal(err=True):
            screen.status(f"fetching {name}")
        source = SourceConfig(name, "wasm", place=place, private=options["private"])
        digest = asyncio.run(late("latest")(source, components()))
    private = {"private": True} if options["private"] else {}
    if place.startswith("oci://"):
        return {"wasm": str(reference(place)._replace(digest=pinned_reference(place, digest))), **private}
    return {"wasm": place, "digest": pinned(place, digest), **private}


def pinned_reference(place: str, digest: str) -> str:
    """The digest that a reference is pinned to."""
    return pinned(str(reference(place)._replace(digest=digest)), digest)


@click.command("list")
@editing
def list_(file: Path, as_json: bool) -> None:
    """List the components of a rune.toml: which version, whether it is here, what it asks for, and whether one is held.

    \b
    rune wasm list
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file", hint="--config FILE names another one")
    found = [_told(source) for source in sources(file)]
    if as_json:
        screen.value({"config": str(file), "components": found})
        return
    screen.rows(
        [
            (each["name"], each["state"], each["digest"][:19], ", ".join(each["asks"]) or "-", each["component"])
            for each in found
        ]
    )
    for each in found:
        if each["said"]:
            screen.err(f"{each['name']}: {each['said']}")


def _told(source: SourceConfig) -> dict[str, Any]:
    """One component, as scripts read it."""
    stock = stock_of(source)
    found: dict[str, Any] = {
        "name": source.name, "component": source.place, "digest": source.digest, "asks": [], "held": None,
        "serves": None, "state": "ready", "said": None, "grants": sorted(late("granted")(policy_of(source))),
    }  # fmt: skip
    try:
        found["digest"], found["asks"] = stock.look()
        choice = stock.choose()
    except RuneError as error:
        fetched = not source.digest or stock.here
        return found | {"state": "failed" if fetched else "not fetched", "said": error.message if fetched else None}
    found["serves"] = choice.digest
    if choice.held is not None:
        found |= {"state": "held", "held": list(choice.held.more), "said": f"{choice.held}; {stock.hint}"}
    return found


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@editing
@click.pass_context
def remove(ctx: click.Context, names: tuple[str, ...], file: Path, as_json: bool) -> None:
    """Take components out of a rune.toml, and what was fetched and noted for them out of this machine. Files and
    policies that lie beside them stay.

    \b
    rune wasm remove maths
    """
    known = {source.name: source for source in (sources(file) if file.is_file() else [])}
    for name in names:
        if name not in known:
            hint = f"there are {', '.join(known) or 'none'}"
            raise NotFound(f"{file}: there is no component {name}", hint=hint)
    ctx.invoke(remove_sources, names=names, file=file, as_json=as_json)
    for name in dict.fromkeys(names):
        late("forget")(known[name], components())
