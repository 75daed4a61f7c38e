"""What the kinds of components have in common: how they are linked, what they offer, how a request is put to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from wasmtime.component import Linker

from rune.errors import INTERNAL_ERROR, ConfigError, ProtocolError
from rune.request import Request, Result
from rune.source import Catalog, Item
from rune.sources.wasm.instance import Guest

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Offer:
    """What a component has registered, and who it says that it is. `prefixed` names of exports it does not have."""

    catalog: Catalog
    identity: dict[str, Any]
    subscribes: bool = False


class Dialect(Protocol):
    """One kind of component. All but `link` run in the thread of the instance."""

    def link(self, linker: Linker) -> None:
        """Define what such a component imports, besides WASI."""
        ...

    def register(self, instance: Guest) -> Offer:
        """Have a new instance say what it offers.

        Raises:
            ConfigError: it says something that cannot be.
        """
        ...

    def rehearse(self, instance: Guest) -> None:
        """Bring a further instance to where the first one was when it had registered."""
        ...

    def answer(self, instance: Guest, request: Request) -> Result:
        """Put a request to an instance."""
        ...

    def subscribe(self, instance: Guest, uri: str, wanted: bool) -> None:
        """Tell it that somebody wants to hear of a resource, or nobody any more."""
        ...


def item(kind: str, key: str, definition: Any) -> Item:
    """A definition of a tool, prompt, resource or template, checked.

    Raises:
        ConfigError: its name is missing, or a schema is none.
    """
    name = definition.get(key) if isinstance(definition, dict) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a {kind} without {key}")
    if kind == "tool":
        for schema, needed in (("inputSchema", True), ("outputSchema", False)):
            found = definition.get(schema)
            if found is None and not needed:
                continue
            if not isinstance(found, dict) or (needed and found.get("type") != "object"):
                raise ConfigError(f'tool {name}: {schema} must be a JSON Schema with "type": "object"')
    elif "name" not in definition:
        raise ConfigError(f"{kind} {name}: without name")
    return Item(name, encode(definition))


def distinct(items: list[Item], kind: str) -> tuple[Item, ...]:
    """These items, each name once.

    Raises:
        ConfigError: naming the one that is there twice.
    """
    seen: set[str] = set()
    for each in items:
        if each.name in seen:
            raise ConfigError(f"{kind} {each.name} is there twice")
        seen.add(each.name)
    return tuple(items)


def own_name(request: Request, key: str) -> str:
    """The name at the source of what is meant."""
    return request.target.name if request.target is not None else request.text(key)


def arguments(request: Request) -> bytes:
    """The arguments of a tool or prompt, an empty object where there are none."""
    raw = request.params.get("arguments")
    return b"{}" if raw is None or bytes(raw) == b"null" else bytes(raw)


def misfit(method: str, why: object) -> ProtocolError:
    """An answer of a guest that is none."""
    return ProtocolError(INTERNAL_ERROR, f"{method}: the guest's answer is not valid: {why}")
