"""Reload without a process: what is fixed, what fails half-way, and who ends what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rune.app import Listen, dispatcher
from rune.app.reload import FIXED, Reloader
from rune.app.stdio import StdioRim
from rune.build import House, house
from rune.config.files import read_toml
from rune.config.model import ServerTable
from rune.errors import Unavailable
from rune.gateway import Gateway
from rune.protocol.jsonrpc import opened
from rune.server.reply import Reply
from rune.server.run import Guard, watched
from rune.source import Catalog
from rune.view import Mount
from tests.test_gateway import Fixed, Heard, ask, item

DEADLINE = 30.0

LIVE = {"name", "instructions", "allowed_hosts", "allowed_origins", "timeout", "page_size", "validate"}


def test_each_key_of_the_server_is_fixed_or_can_change() -> None:
    """A new key needs a decision: can a reload change it?"""
    assert set(FIXED).isdisjoint(LIVE)
    assert set(FIXED) | LIVE == set(ServerTable.__struct_fields__)


class Held(Fixed):
    """A source whose calls end when they are let go."""

    def __init__(self, name: str, *tools: str) -> None:
        super().__init__(name, Catalog(tools=tuple(item(tool) for tool in tools)))
        self.go = asyncio.Event()
        self.called = asyncio.Event()

    async def handle(self, request):  # type: ignore[no-untyped-def]
        if request.method == "tools/call":
            self.called.set()
            await self.go.wait()
        return await super().handle(request)


async def test_what_both_have_is_handed_over_and_the_rest_is_left() -> None:
    kept, gone, new = Held("kept", "a"), Held("gone", "b"), Held("new", "c")
    first, second = Gateway([Mount(kept), Mount(gone)]), Gateway([Mount(new), Mount(kept, "k_")])
    await first.__aenter__()
    left = await second.succeed(first)
    assert list(left) == [gone]
    await first.__aexit__()
    assert kept.open and gone.open and new.open
    assert len(kept.listeners) == 1
    assert [each["name"] for each in (await second.handle(ask("tools/list"))).value["tools"]] == ["c", "k_a"]
    await left[gone].aclose()
    assert (kept.open, gone.open) == (True, False)
    await second.__aexit__()
    assert not (kept.open or new.open)
    assert len(kept.listeners) == len(new.listeners) == 0


async def test_a_name_stays_with_who_has_it() -> None:
    late, early = Held("late"), Held("early", "same")
    async with Gateway([Mount(late), Mount(early)]) as first:
        await first.handle(ask("tools/list"))
        late.offers = Catalog(tools=(item("same", title="late"),))
        first.router.changed(late)
        second, third = Gateway(first.mounts), Gateway(first.mounts)
        for newer, older in ((second, first), (third, second)):
            await newer.succeed(older)
            (tool,) = (await newer.handle(ask("tools/list"))).value["tools"]
            assert "title" not in tool
        await third.__aexit__()


async def test_a_source_that_does_not_start_changes_nothing() -> None:
    class Broken(Held):
        async def __aenter__(self) -> Broken:
            raise Unavailable("broken")

    kept, new = Held("kept", "a"), Held("new", "c")
    async with Gateway([Mount(kept)]) as first:
        second = Gateway([Mount(new), Mount(kept), Mount(Broken("broken"))])
        with pytest.raises(Unavailable):
            await second.succeed(first)
        assert (kept.open, new.open) == (True, False)
        assert len(kept.listeners) == 1
        assert [each["name"] for each in (await first.handle(ask("tools/list"))).value["tools"]] == ["a"]
    assert not kept.open


async def test_a_reload_that_is_cut_short_leaves_nothing_behind() -> None:
    class Slow(Held):
        async def catalog(self, request):  # type: ignore[no-untyped-def]
            self.called.set()
            return await asyncio.get_running_loop().create_future()

    kept, slow = Held("kept", "a"), Slow("slow")
    async with Gateway([Mount(kept)]) as first:
        task = asyncio.create_task(Gateway([Mount(kept), Mount(slow)]).succeed(first))
        async with asyncio.timeout(DEADLINE):
            await slow.called.wait()
        assert slow.open
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (kept.open, slow.open) == (True, False)
        assert len(kept.listeners) == 1


async def test_a_listen_loses_no_part_that_stays() -> None:
    kept, gone, new = (Fixed(name, Catalog(tools=(item(name),), list_changed=True)) for name in ("a", "b", "c"))
    first, second = Gateway([Mount(kept), Mount(gone)]), Gateway([Mount(kept), Mount(new)])
    first.expect_another()
    async with first:
        listen, heard = ask("subscriptions/listen", notifications={"toolsListChanged": True}), Heard()
        listen.emit = heard
        task = asyncio.create_task(first.handle(listen))
        await heard.next()
        while len(kept.listeners) < 2:
            await asyncio.sleep(0)
        before = set(kept.listeners._listeners)
        left = await second.succeed(first)
        await second.announce(first)
        async with asyncio.timeout(DEADLINE):
            while len(new.listeners) < 2 or len(gone.listeners) > 0:
                await asyncio.sleep(0)
        assert len(before & set(kept.listeners._listeners)) == 1
        assert await heard.next() == ("notifications/tools/list_changed", {})
        assert heard.notes.empty()
        # The same again: nothing is different.
        third = Gateway(second.mounts)
        assert await third.succeed(second) == {}
        await third.announce(second)
        assert heard.notes.empty()
        task.cancel()
        await asyncio.wait([task])
        assert len(third.listens) == 0
        for life in left.values():
            await life.aclose()
        await third.__aexit__()
    assert not (kept.open or gone.open or new.open)


SERVER = """
from rune import Server
server = Server("x")

@server.tool(execution="inline")
def TOOL() -> str:
    return "TOOL"
"""


@asynccontextmanager
async def reloading(folder: Path, text: str) -> AsyncIterator[tuple[House, Reloader]]:
    path = folder / "rune.toml"
    path.write_text(text)
    async with house(read_toml(path, {})) as home:
        reloader = Reloader(home, StdioRim(home.gateway, Listen()), lambda: read_toml(path, {}))
        async with home:
            yield home, reloader
            await reloader.close()


def source(folder: Path, name: str) -> str:
    (folder / f"{name}.py").write_text(SERVER.replace("TOOL", name))
    return f'[sources.{name}]\npython = "{name}.py"\n'


async def test_a_source_ends_after_the_calls_that_need_it(tmp_path: Path) -> None:
    one, two = source(tmp_path, "one"), source(tmp_path, "two")
    async with asyncio.timeout(DEADLINE), reloading(tmp_path, one + two) as (home, reloader):
        kept, gone = home.gateway.sources
        (tmp_path / "rune.toml").write_text(one)
        assert await reloader.reload()
        assert home.gateway.sources == (kept,)
        while reloader._leaving:
            await asyncio.wait(reloader._leaving)
        assert gone._loop is None  # type: ignore[attr-defined]
        assert kept._loop is not None  # type: ignore[attr-defined]


async def test_what_nobody_foresaw_is_logged_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(DEADLINE), reloading(tmp_path, source(tmp_path, "one")) as (home, reloader):
        before = home.gateway

        def broken() -> None:
            raise ZeroDivisionError

        reloader._load = broken  # type: ignore[assignment]
        with caplog.at_level(logging.ERROR, "rune.reload"):
            assert not await reloader.reload()
        assert "nothing is changed" in caplog.text
        assert home.gateway is before


async def test_a_key_that_is_fixed_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = source(tmp_path, "one")
    async with asyncio.timeout(DEADLINE), reloading(tmp_path, text) as (_, reloader):
        (tmp_path / "rune.toml").write_text(text + '[server]\nport = 1\nmax_body = "2MiB"\ntimeout = 3\n')
        with caplog.at_level(logging.WARNING, "rune.reload"):
            assert await reloader.reload()
            assert await reloader.reload()
        said = [record.getMessage().rpartition("/")[2] for record in caplog.records]
        assert said == [
            "rune.toml:4: server.port holds only after a new start of rune",
            "rune.toml:5: server.max_body holds only after a new start of rune",
        ]
        rim = reloader._rim
        assert isinstance(rim, StdioRim)
        assert rim.dispatcher.timeout == 3


async def test_calls_of_others_do_not_hold_a_source(tmp_path: Path) -> None:
    """A dispatcher knows which source its requests under way are for."""
    one, two = Held("one", "a"), Held("two", "b")
    async with asyncio.timeout(DEADLINE), Gateway([Mount(one), Mount(two)]) as gateway:
        rim = dispatcher(gateway, Listen())
        task = asyncio.create_task(_call(rim, "a"))
        await one.called.wait()
        assert rim.busy(one) == {task}
        assert rim.busy(two) == set()
        one.go.set()
        await task
        assert rim.busy(one) == set()


async def _call(rim, name):  # type: ignore[no-untyped-def]
    meta = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
    frame = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","_meta":{meta}}}}}'
    guard = Guard()

    async def exchange() -> None:
        await rim.answer(opened(frame.encode()), Reply(), guard)

    rest = watched(exchange(), guard)
    assert rest is not None, "the source holds the call"
    await rest
