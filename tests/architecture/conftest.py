"""The source of Rune as syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "rune"


class Import(NamedTuple):
    """One imported name: `module` as written and, if it is `from module import name`, the name."""

    module: str
    name: str
    line: int
    late: bool
    typing: bool

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)


class File(NamedTuple):
    path: str
    module: str
    text: str
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def room(self) -> str:
        """The first name below `rune`: what the layers are made of."""
        return self.module.split(".")[1] if "." in self.module else ""


def _imports(tree: ast.Module) -> tuple[Import, ...]:
    found: list[Import] = []

    def walk(node: ast.AST, late: bool, typing: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inside = late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checking = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, "", child.lineno, inside, checking) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"line {child.lineno}: imports are absolute"
                found.extend(
                    Import(child.module or "", alias.name, child.lineno, inside, checking) for alias in child.names
                )
            walk(child, inside, checking)

    walk(tree, False, False)
    return tuple(found)


@pytest.fixture(scope="session")
def files() -> dict[str, File]:
    """Module name -> file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("rune", *path.relative_to(SOURCE).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        found[module] = File(path.relative_to(ROOT).as_posix(), module, text, tree, _imports(tree))
    assert "rune.protocol.modern" in found
    return found
