"""Plugins of others import their framework by its own name: for as long as they are loaded, that name means ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from rune import plugin

NAMES: Final = ("plugins.framework", "mcpgateway.plugins.framework", "cpex.framework")


class Facade(MetaPathFinder, Loader):
    """Finds these names, and the packages around them that are not installed."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in NAMES or any(fullname.startswith(f"{name}.") for name in NAMES):
            return ModuleSpec(fullname, self, is_package=True)
        around = any(name.startswith(f"{fullname}.") for name in NAMES)
        return ModuleSpec(fullname, self, is_package=True) if around and not self._elsewhere(fullname) else None

    def _elsewhere(self, fullname: str) -> bool:
        """Whether somebody else has this package."""
        sys.meta_path.remove(self)
        try:
            return find_spec(fullname) is not None
        finally:
            sys.meta_path.insert(0, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        self.made.append(spec.name)
        return None

    def exec_module(self, module: ModuleType) -> None:
        if any(module.__name__.startswith(name) for name in NAMES):
            public = {name: value for name, value in vars(plugin).items() if not name.startswith("_")}
            vars(module).update(public)


@contextmanager
def framework(folder: Path | None) -> Iterator[None]:
    """While this is entered their names mean ours, and classes are found from `folder` on."""
    facade = Facade()
    sys.meta_path.insert(0, facade)
    if folder is not None:
        sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.meta_path.remove(facade)
        if folder is not None:
            sys.path.remove(str(folder))
        for name in facade.made:
            sys.modules.pop(name, None)
