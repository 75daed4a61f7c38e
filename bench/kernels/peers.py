"""Packages of other makers, in environments of their own, imported into this process."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from tests.peers import python_venv


def peer(module: str, *requirements: str) -> Any:
    """A module out of an environment with these packages; what is installed here comes first."""
    folder = python_venv(requirements[0].partition("==")[0], *requirements)
    packages = next((folder / "lib").glob("python*/site-packages"))
    sys.path.append(str(packages))
    try:
        return import_module(module)
    finally:
        sys.path.remove(str(packages))
