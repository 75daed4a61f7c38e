"""Components written by hand, and a client of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import PolicyTable
from rune.sources.wasm.component import WasmSource
from tests.sources.wasm.wat import HERE, component, tools

Open: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest of rune:guest, see tools.wat."""
    return tools(tmp_path_factory.mktemp("hand"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A component without MCP, see plain.wat."""
    return component(tmp_path_factory.mktemp("plain"), (HERE / "plain.wat").read_text("utf-8"), "plain")


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """A client of a component in this process: `opened(path, policy, **options of Client)`."""

    @asynccontextmanager
    async def open_(path: Path, policy: PolicyTable | None = None, **options: Any) -> AsyncIterator[Client]:
        source = WasmSource(path.stem, path, policy, tmp_path / "compiled")
        async with around(source) as gateway, Client(gateway, **options) as client:
            yield client

    return open_
