"""What a component is and asks for, read off its types: nothing of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rune.config.policy import PolicyTable
from rune.sources.wasm.asks import asks
from rune.sources.wasm.engine import Machine, load
from rune.sources.wasm.guest import GuestDialect
from rune.sources.wasm.instance import Exports
from rune.sources.wasm.loaded import Loaded
from rune.sources.wasm.plain import PlainDialect
from rune.sources.wasm.wasi import WasiDialect


def look(path: Path, cache: Path) -> dict[str, Any]:
    """Kind, imports, exports and what it asks for.

    Raises:
        ConfigError: it is no component.
    """
    component, digest = load(path, cache)
    exports = Exports(component)
    kind = "wasi:mcp" if WasiDialect.fits(exports) else "rune:guest" if GuestDialect.fits(exports) else "plain"
    imports = sorted(component.type.imports(Machine.get().engine))
    return {
        "file": str(path),
        "sha256": digest,
        "size": path.stat().st_size,
        "kind": kind,
        "imports": imports,
        "exports": sorted({name.partition("#")[0] for name in exports.indices}),
        "asks": asks(imports),
    }


def offers(path: Path, cache: Path) -> dict[str, list[str]]:
    """The names of what it registers, in an instance that may do nothing.

    Raises:
        ConfigError: it does not start without grants.
    """
    loaded = Loaded(path.stem, path, PolicyTable(), cache)
    catalog = loaded.offer.catalog
    kinds = {"tools": catalog.tools, "resources": (*catalog.resources, *catalog.templates), "prompts": catalog.prompts}
    found = {kind: [item.name for item in items] for kind, items in kinds.items()}
    if isinstance(loaded.dialect, PlainDialect) and loaded.dialect.refused:
        found["not offered"] = [f"{name}: {why}" for name, why in loaded.dialect.refused.items()]
    return found
