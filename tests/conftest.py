"""Nothing that a test keeps is found by another one or by whoever runs the tests; none depends on being fast."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import keyring
import pytest
from hypothesis import settings
from keyring.backends import fail

from tests.redisserver import RedisServer
from tests.sizes import LONG

# What else the machine does is nothing that an example could show; the quick size has the same examples each time.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("long", deadline=None, max_examples=1_000)
settings.load_profile("long" if LONG else "quick")


@pytest.fixture(scope="session", autouse=True)
def cache() -> Iterator[Path]:
    """Where gateways that the tests start keep the last catalogs of their servers, and notes about components."""
    with tempfile.TemporaryDirectory(prefix="rune-cache-") as folder:
        os.environ["RUNE_CACHE_DIR"], os.environ["RUNE_HOME"] = folder, f"{folder}/home"
        yield Path(folder)
        del os.environ["RUNE_CACHE_DIR"], os.environ["RUNE_HOME"]


@pytest.fixture(autouse=True)
def own_cache(cache: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder for each test; what lives longer shares that of the session."""
    folder = cache / f"{abs(hash(request.node.nodeid)):x}"
    monkeypatch.setenv("RUNE_CACHE_DIR", str(folder))
    monkeypatch.setenv("RUNE_HOME", str(folder / "home"))


@pytest.fixture
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring of whoever runs the tests stays out of them, and so does one that other tests have made."""
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was captured may hold lone surrogates, which no worker can send to the one who collects the reports."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """One for all tests that want one; each empties it first."""
    with RedisServer.running() as server:
        yield server
