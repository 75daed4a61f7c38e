"""`compression` as a plugin: its config, and what the cache and kept results make of it."""

from __future__ import annotations

import os

import pytest

from rune import Server, zstd
from rune.errors import ConfigError, NotFound, Unavailable
from rune.pipeline import Pipeline
from rune.plugin import PluginConfig
from rune.plugins.cache import Cache
from rune.plugins.compression import OWN, Compression
from rune.request import Caller
from rune.sources.spool import Spool, discard
from rune.store import MemoryStore
from rune.stores.pressed import PressedStore
from rune.zstd import Press
from tests.plugins.gate import gate, text


def plugin(settings=None, **config):
    return Compression(PluginConfig(name="compression", config=config, **(settings or {})))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"minimum": 1}, "unknown key minimum"),
        ({"codings": ["br"]}, "codings are zstd and gzip"),
        ({"codings": "gzip"}, "codings must be a list of texts"),
        ({"minimum_size": -1}, "minimum_size must be a number from 0"),
        ({"minimum_size": True}, "minimum_size must be a number"),
        ({"gzip_level": 10}, "gzip_level must be a number from 1 to 9"),
        ({"zstd_level": 20}, "zstd_level must be a number from 1 to 19"),
        ({"tools": [1]}, "tools must be a list of texts"),
        ({"stored": 1}, "stored must be true or false"),
        ({"dictionary": 1}, "dictionary must be the path"),
        ({"dictionary": "/no/such.zdict"}, "dictionary /no/such.zdict: No such file"),
        ({"dictionary": __file__}, "no dictionary of zstd"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(config, problem):
    with pytest.raises(ConfigError, match=problem):
        plugin(**config)


@pytest.mark.parametrize("settings", [{"hooks": ("tool_pre_invoke",)}, {"conditions": ({"tools": ["a"]},)}])
def test_what_would_do_nothing_is_refused(settings):
    with pytest.raises(ConfigError, match="hooks and conditions mean nothing here"):
        plugin(settings)


def test_without_the_package_it_says_so_where_it_is_needed(monkeypatch):
    monkeypatch.setattr(zstd, "zstd", None)
    for config in ({}, {"stored": False}, {"codings": ["gzip"]}):
        with pytest.raises(ConfigError, match=r"needs the package backports\.zstd") as refused:
            plugin(**config)
        assert refused.value.hint == "pip install 'rune-mcp[compression]'"
    found = plugin(codings=["gzip"], stored=False)
    assert list(found.coding.ways) == ["gzip"] and found.press is None


def test_only_one_that_runs_is_heard():
    config = PluginConfig(name="compression", kind="compression", mode="disabled")
    off, on = Compression(config), plugin(codings=["gzip"])
    assert Pipeline([(off, off.config)]).coding is None
    assert Pipeline([(off, off.config), (on, on.config)]).coding is on.coding
    assert plugin(codings=[]).coding is None


async def test_its_dictionary_lies_where_the_values_lie():
    async with PressedStore(MemoryStore(), Press) as store:
        found = plugin()
        found.store = store
        await found.initialize()
        assert await store.get(f"dictionary/{found.press.id.hex()}") == OWN.read_bytes()


async def test_answers_in_the_cache_are_compressed_and_each_callers_own():
    server, calls = Server("s"), []

    @server.tool(annotations={"readOnlyHint": True})
    async def look(what: str) -> str:
        calls.append(what)
        return f"{what} {len(calls)} " * 500

    class Pressed(Cache):
        store = PressedStore(MemoryStore(), Press)

    Pressed.store.press = Press(OWN.read_bytes())
    async with gate(server, (Pressed, {})) as gateway:
        first = await text(gateway, "look", what="a")
        assert await text(gateway, "look", what="a") == first == "a 1 " * 500
        assert await text(gateway, "look", caller="bob", what="a") == "a 2 " * 500
        cache = gateway.pipeline.plugins[0].plugin
        assert (cache.hits, cache.misses) == (1, 2)
        assert cache._size < 500
        # What was kept before is read in its way.
        Pressed.store.press = None
        assert await text(gateway, "look", what="a") == first
        assert len(calls) == 2


async def test_results_that_are_too_large_for_a_message_are_compressed_files():
    spool, ada = Spool(size=10_000, files=2), Caller("ada")
    spool.pressed = PressedStore(MemoryStore(), Press)
    plain = spool.store(b"plain " * 100, ada)
    spool.pressed.press = Press(OWN.read_bytes())
    whole = "größer " * 20_000
    kept = spool.store(whole.encode(), ada, "text/x")
    assert (kept.size, kept.took) == (len(whole.encode()), kept.path.stat().st_size)
    assert kept.took < 1000 and not kept.uri.endswith(".zst")
    spool.pressed.press = None
    assert spool.read(kept.uri, ada) == (whole, "text/x")
    assert spool.read(plain.uri, ada)[0] == "plain " * 100
    with pytest.raises(NotFound):
        spool.read(kept.uri, Caller("bob"))
    spool.pressed.press = Press(b"")
    left = spool.open()
    left.write(b"x")
    discard(left)
    spool.store(os.urandom(9000), ada)
    spool.store(os.urandom(500), ada)
    with pytest.raises(Unavailable, match="more than the 10000 bytes"):
        spool.store(os.urandom(11_000), ada)
    with pytest.raises(NotFound):
        spool.read(kept.uri, ada)
    assert sorted(path.stat().st_size > 9000 for path in kept.path.parent.iterdir()) == [False, True]
    spool.close()
    assert not kept.path.parent.exists()
