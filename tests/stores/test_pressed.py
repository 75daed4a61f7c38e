"""What is kept compressed: smaller, the same when it comes back, and readable whatever has changed since."""

from __future__ import annotations

import json

import pytest

from rune.errors import ConfigError, Unavailable
from rune.plugins import compression
from rune.store import MemoryStore
from rune.stores import pressed
from rune.stores.pressed import ASIDE, LEAST, MARK, PressedStore
from rune.stores.sqlite import SqliteStore
from rune.zstd import Press, zstd

OURS = compression.OWN.read_bytes()


def answer(number):
    rows = [
        {"id": number * 100 + each, "name": f"row {each}", "created_at": "2026-01-01T00:00:00Z"} for each in range(5)
    ]
    text = json.dumps(rows)
    return json.dumps({"resultType": "complete", "content": [{"type": "text", "text": text}]}).encode()


def another():
    """A dictionary that somebody made of other things."""
    samples = [f'<item number="{each}"><colour>{each % 7}</colour></item>'.encode() * 3 for each in range(500)]
    return zstd.train_dict(samples, 4096).dict_content


def over(store):
    return PressedStore(store, Press)


async def pressing(store, dictionary):
    found = over(store)
    press = Press(dictionary)
    await found.learn(press)
    found.press = press
    return found


async def test_values_are_smaller_and_come_back():
    async with MemoryStore() as inner:
        store = await pressing(inner, OURS)
        for size in (0, 1, LEAST - 1, LEAST, 5000, ASIDE, 2 * ASIDE):
            value = (answer(1) * (size // 100 + 1))[:size]
            assert await store.set("k", value)
            assert await store.get("k") == value
            raw = await inner.get("k")
            assert raw == value if size < LEAST else len(raw) < size and raw.startswith(MARK + store.press.id)
        assert len(await inner.get(f"dictionary/{store.press.id.hex()}")) == len(OURS)


async def test_with_its_dictionary_a_value_is_smaller_than_without():
    async with MemoryStore() as inner:
        sizes = []
        for dictionary in (b"", OURS):
            store = await pressing(inner, dictionary)
            await store.set("k", answer(3))
            sizes.append(len(await inner.get("k")))
        assert sizes[1] < 0.8 * sizes[0] < 0.8 * len(answer(3))


async def test_what_was_written_before_stays_readable(tmp_path):
    path = tmp_path / "store.db"
    values = {}

    async def again(dictionary, press=True):
        """Another process: it knows nothing but the file."""
        async with SqliteStore(path) as inner:
            store = await pressing(inner, dictionary) if press else over(inner)
            for key, value in values.items():
                assert await store.get(key) == value, key
            key = f"k{len(values)}"
            values[key] = answer(len(values))
            await store.set(key, values[key])

    for dictionary in (OURS, another(), b"", OURS):
        await again(dictionary)
    await again(b"", press=False)
    await again(another())
    assert len(values) == 6


async def test_a_value_is_compared_as_it_was_given_in_whatever_form_it_stands():
    async with MemoryStore() as inner:
        plain, one, two = over(inner), await pressing(inner, OURS), await pressing(inner, another())
        for writer in (plain, one, two):
            for comparer in (plain, one, two):
                await writer.set("k", answer(1))
                assert not await comparer.set("k", answer(3), if_equals=answer(2))
                assert not await comparer.set("k", answer(3), if_equals=answer(1), if_absent=True)
                assert await comparer.get("k") == answer(1)
                assert await comparer.set("k", answer(3), if_equals=answer(1))
                assert await writer.get("k") == answer(3)
        assert not await one.set("none", answer(1), if_equals=answer(1))
        assert not await one.set("k", answer(1), if_absent=True)


async def test_values_that_look_compressed_are_not_taken_for_it():
    async with MemoryStore() as inner:
        for store in (over(inner), await pressing(inner, OURS)):
            for value in (MARK, MARK + bytes(20), MARK + store.get.__name__.encode() * 200):
                await store.set("k", value)
                assert await store.get("k") == value
                assert await store.set("k", b"x", if_equals=value)


async def test_what_cannot_be_read_is_said(monkeypatch):
    async with MemoryStore() as inner:
        store = await pressing(inner, OURS)
        await store.set("k", answer(1))
        raw = await inner.get("k")
        for damaged in (raw[:-3], raw[:20], raw[:30] + b"xx" + raw[32:]):
            await inner.set("damaged", damaged)
            with pytest.raises(Unavailable, match="damaged"):
                await store.get("damaged")
        await inner.delete(f"dictionary/{store.press.id.hex()}")
        with pytest.raises(Unavailable, match=f"the dictionary {store.press.id.hex()} is gone"):
            await over(inner).get("k")

        def missing(dictionary):
            raise ConfigError("needs the package backports.zstd", hint="pip install 'rune-mcp[compression]'")

        await store.learn(store.press)
        await inner.set(f"dictionary/{store.press.id.hex()}", OURS)
        with pytest.raises(Unavailable, match=r"compressed: needs the package backports\.zstd") as refused:
            await PressedStore(inner, missing).get("k")
        assert "rune-mcp[compression]" in refused.value.hint
    assert pressed.LEAST


async def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("rune.zstd.LARGEST", 10_000)
    async with MemoryStore() as inner:
        store = await pressing(inner, OURS)
        await store.set("k", bytes(10_001))
        with pytest.raises(Unavailable, match="does not end"):
            await store.get("k")


def test_a_file_that_is_no_dictionary_is_refused():
    with pytest.raises(ConfigError, match="no dictionary of zstd"):
        Press(b"\x37\xa4\x30\xec" + b"x")
