"""Exchanges over real sockets: kept connections, dead ones, waiting, cancelling, leaking nothing."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time

import pytest

from rune.errors import ConfigError, TimedOut, Unavailable
from rune.net import Cut, Limits, Outlet, public
from rune.net.pool import FRESH
from tests.net.wires import answer, polite, raw
from tests.sizes import LONG

DEADLINE = 30.0


async def ask(outlet, url, method="GET", data=None, **options) -> bytes:
    async with asyncio.timeout(DEADLINE):
        response = await outlet.exchange(outlet.prepare(method, url, {}), {}, data, **options)
        try:
            return await outlet.body(response)
        finally:
            response.close()


async def until(true) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():
            await asyncio.sleep(0.005)


# --- kept ------------------------------------------------------------------------------------------------------------


async def test_many_exchanges_one_connection_and_one_look_at_the_name(monkeypatch):
    loop = asyncio.get_running_loop()
    looked = []
    getaddrinfo = loop.getaddrinfo

    async def look(host, *rest, **options):
        looked.append(host)
        return await getaddrinfo(host, *rest, **options)

    monkeypatch.setattr(loop, "getaddrinfo", look)
    async with raw(polite) as site:
        outlet = Outlet("web")
        for _ in range(50):
            assert await ask(outlet, site.url.replace("127.0.0.1", "localhost")) == b"hello"
        assert site.accepted == 1
        # uvloop looks at numeric addresses, too.
        assert looked.count("localhost") == 1
        await outlet.close()
        await until(lambda: site.closed == 1)


async def test_calls_at_once_share_as_few_connections_as_they_can():
    async with raw(polite) as site:
        outlet = Outlet("web")
        for _ in range(10):
            await asyncio.gather(*(ask(outlet, site.url) for _ in range(8)))
        assert site.accepted == 8
        await outlet.close()


async def test_what_a_server_closes_is_not_used_again():
    async def once(site, reader, writer):
        await site.request(reader)
        writer.write(answer(b"x", b"Connection: close"))
        await writer.drain()

    async with raw(once) as site:
        outlet = Outlet("web")
        for number in range(1, 4):
            assert await ask(outlet, site.url, "POST", b"{}") == b"x"
            assert site.accepted == number
        await outlet.close()


async def test_idle_connections_are_closed_after_a_while():
    async with raw(polite) as site:
        outlet = Outlet("web", limits=Limits(idle=0.05))
        await ask(outlet, site.url)
        await until(lambda: site.closed == 1)
        assert await ask(outlet, site.url) == b"hello"
        assert site.accepted == 2
        await outlet.close()


async def test_a_connection_that_died_while_the_loop_looked_away_is_not_used():
    """The server closes, and the loop has had no turn to see it when the next call comes."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(DEADLINE)
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    outlet = Outlet("web")
    loop = asyncio.get_running_loop()

    def serve():
        peer, _ = server.accept()
        peer.settimeout(DEADLINE)
        peer.recv(65536)
        peer.sendall(answer())
        return peer

    serving = loop.run_in_executor(None, serve)
    assert await ask(outlet, url) == b"hello"
    peer = await serving
    serving = loop.run_in_executor(None, serve)
    peer.close()
    time.sleep(FRESH * 1.5)
    # Not one turn of the loop lies between the end of the connection and this request.
    assert await ask(outlet, url, "POST", b"{}") == b"hello"
    (await serving).close()
    server.close()
    await outlet.close()


@pytest.mark.parametrize(
    ("method", "repeatable", "twice"),
    [("GET", False, True), ("DELETE", False, True), ("POST", False, False), ("POST", True, True)],
)
async def test_only_what_may_be_done_twice_is_sent_again_on_a_new_connection(method, repeatable, twice):
    async def second_is_lost(site, reader, writer):
        await site.request(reader)
        writer.write(answer(b"%d" % site.accepted))
        await site.request(reader)
        if site.accepted > 1:
            await polite(site, reader, writer)

    async with raw(second_is_lost) as site:
        outlet = Outlet("web")
        assert await ask(outlet, site.url) == b"1"
        body = b"{}" if method == "POST" else None
        if twice:
            assert await ask(outlet, site.url, method, body, repeatable=repeatable) == b"2"
        else:
            with pytest.raises(Cut, match=r"^web: the connection was lost"):
                await ask(outlet, site.url, method, body, repeatable=repeatable)
        assert len(site.heads) == (3 if twice else 2)
        await outlet.close()


async def test_nothing_is_sent_again_on_a_connection_that_was_new_or_had_answered():
    async def mute(site, reader, writer):
        await site.request(reader)
        if site.accepted > 1:
            writer.write(b"HTTP/1.1 2")
            await writer.drain()

    async with raw(mute) as site:
        outlet = Outlet("web")
        for number in range(1, 3):
            with pytest.raises(Cut):
                await ask(outlet, site.url, repeatable=True)
            assert site.accepted == len(site.heads) == number
        await outlet.close()


# --- bounded ---------------------------------------------------------------------------------------------------------


async def test_a_hundred_connections_at_most_and_the_rest_wait_in_the_order_of_asking():
    gate = asyncio.Event()
    order = []

    async def slow(site, reader, writer):
        while head := await site.request(reader):
            order.append(int(head.split(b" ")[1].removeprefix(b"/")))
            await gate.wait()
            writer.write(answer())

    async with raw(slow) as site:
        outlet = Outlet("web")
        base = site.url.removesuffix("/mcp")
        calls = []
        for number in range(150):
            calls.append(asyncio.create_task(ask(outlet, f"{base}/{number}")))
            await asyncio.sleep(0)
        await until(lambda: len(order) == 100)
        assert site.accepted == 100
        gate.set()
        assert await asyncio.gather(*calls) == [b"hello"] * 150
        assert site.accepted == 100
        assert sorted(order[:100]) == list(range(100))
        # One connection after the other becomes free, so the order on the wire is the order of asking.
        assert order[100:] == list(range(100, 150))
        await outlet.close()


async def test_who_waits_too_long_or_is_one_too_many_is_told():
    async def never(site, reader, writer):
        await site.request(reader)
        await reader.read()

    async with raw(never) as site:
        outlet = Outlet("web", limits=Limits(connections=1, waiting=2))
        loop = asyncio.get_running_loop()
        first = asyncio.create_task(ask(outlet, site.url))
        await until(lambda: site.heads)
        waiting = [asyncio.create_task(ask(outlet, site.url)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"^web: 1 connections are busy and 2 calls wait"):
            await ask(outlet, site.url)
        waiting[0].cancel()
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await ask(outlet, site.url, deadline=loop.time() + 0.01)
        await outlet.close()
        results = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Cut, asyncio.CancelledError, Unavailable]


async def test_places_of_those_who_give_up_while_they_wait_go_to_the_next():
    async with raw(polite) as site:
        outlet = Outlet("web", limits=Limits(connections=2))
        rng = random.Random(7)
        done = 0

        async def impatient():
            nonlocal done
            try:
                async with asyncio.timeout(rng.choice([0, 0.001, 0.002, DEADLINE])):
                    await ask(outlet, site.url)
                    done += 1
            except TimeoutError:
                pass

        for _ in range(20):
            await asyncio.gather(*(impatient() for _ in range(20)))
        assert done > 50
        assert await asyncio.gather(*(ask(outlet, site.url) for _ in range(5))) == [b"hello"] * 5
        assert len(outlet._pool) <= 2
        assert not outlet._pool._waiting
        await outlet.close()


async def test_an_idle_connection_to_somebody_else_makes_room():
    async with raw(polite) as one, raw(polite) as two:
        outlet = Outlet("web", limits=Limits(connections=1))
        for _ in range(3):
            await ask(outlet, one.url)
            await ask(outlet, two.url)
        assert await asyncio.gather(ask(outlet, one.url), ask(outlet, two.url), ask(outlet, one.url)) == [b"hello"] * 3
        await until(lambda: one.closed + two.closed == one.accepted + two.accepted - 1)
        await outlet.close()


async def test_a_server_that_does_not_accept_is_given_up():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        outlet = Outlet("web", limits=Limits(connect=0.1))
        with pytest.raises(TimedOut, match="web: no connection in time"):
            await ask(outlet, f"http://127.0.0.1:{port}/")
        assert len(outlet._pool) == 0
        await outlet.close()
        for each in crowd:
            each.close()


# --- cancelled and cut -----------------------------------------------------------------------------------------------


async def test_a_cancelled_exchange_closes_its_connection():
    async def never(site, reader, writer):
        await site.request(reader)
        await reader.read()

    async with raw(never) as site:
        outlet = Outlet("web")
        task = asyncio.create_task(ask(outlet, site.url))
        await until(lambda: site.heads)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: site.closed == 1)
        assert len(outlet._pool) == 0
        await outlet.close()


async def test_each_exchange_ends_at_its_own_deadline_whichever_came_first():
    async def never(site, reader, writer):
        await site.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        await reader.read()

    async with raw(never) as site:
        outlet = Outlet("web")
        loop = asyncio.get_running_loop()
        ended = []

        async def one(seconds):
            with pytest.raises(TimeoutError):
                await ask(outlet, site.url, deadline=loop.time() + seconds)
            ended.append(seconds)

        lasting = asyncio.create_task(ask(outlet, site.url))
        await asyncio.gather(*(one(seconds) for seconds in (0.9, 0.3, 0.6, 0.0)))
        assert ended == [0.0, 0.3, 0.6, 0.9]
        assert not lasting.done()
        await outlet.close()
        with pytest.raises(Cut, match="web: was closed"):
            await lasting


async def test_a_slow_drip_ends_at_the_deadline():
    async def drip(site, reader, writer):
        await site.request(reader)
        for byte in answer(b"x" * 100):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw(drip) as site:
        outlet = Outlet("web")
        with pytest.raises(TimeoutError):
            await ask(outlet, site.url, deadline=asyncio.get_running_loop().time() + 0.1)
        await until(lambda: site.closed == 1)
        await outlet.close()


async def test_thousands_of_exchanges_and_cuts_leave_nothing_behind():
    """Answers of all kinds, cut at random, cancelled at random: no descriptor, task or connection is left."""
    rng = random.Random(3)
    kinds = [
        answer(b"x" * 3000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n",
        answer(b"no", status=b"500 No"),
        answer(b"bye", b"Connection: close"),
    ]  # fmt: skip

    async def moody(site, reader, writer):
        while await site.request(reader):
            data = rng.choice(kinds)
            if rng.random() < 0.1:
                writer.write(data[: rng.randrange(len(data))])
                await writer.drain()
                return
            writer.write(data)
            if b"close" in data:
                await writer.drain()
                return

    counts = {"ok": 0, "cut": 0, "cancelled": 0}

    async def one(outlet, url):
        try:
            async with asyncio.timeout(0.0005 if rng.random() < 0.1 else DEADLINE):
                await ask(outlet, url)
            counts["ok"] += 1
        except Unavailable:
            counts["cut"] += 1
        except TimeoutError:
            counts["cancelled"] += 1

    async with raw(moody) as site:
        outlet = Outlet("web", limits=Limits(connections=8))
        await ask(outlet, site.url)
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112
        tasks = len(asyncio.all_tasks())
        for _ in range(625 if LONG else 60):
            await asyncio.gather(*(one(outlet, site.url) for _ in range(16)))
        assert counts["ok"] > 400 and counts["cut"] > 20 and counts["cancelled"] > 5
        assert len(outlet._pool) <= 8
        await outlet.close()
        await until(lambda: site.closed == site.accepted)
        assert len(outlet._pool) == 0
        assert len(asyncio.all_tasks()) <= tasks
        if before:
            await until(lambda: len(os.listdir("/proc/self/fd")) < before)


async def test_who_is_cancelled_as_its_answer_comes_ends_no_other_exchange_and_mixes_up_none():
    """Few connections, many who wait for one, and cancellations in every turn of the loop around the answer."""

    async def echo(site, reader, writer):
        while head := await site.request(reader):
            writer.write(answer(head.split(b" ")[1]))

    async with raw(echo) as site:
        base = site.url.removesuffix("/mcp")
        outlet = Outlet("web", limits=Limits(connections=3))
        ends = {"own": 0, "cancelled": 0}

        async def one(number):
            try:
                assert await ask(outlet, f"{base}/{number}") == f"/{number}".encode()
                ends["own"] += 1
            except asyncio.CancelledError:
                ends["cancelled"] += 1

        for turn in range(40):
            tasks = [asyncio.create_task(one(f"{turn}-{number}")) for number in range(12)]
            for number, task in enumerate(tasks):
                if number % 3 == 0:
                    for _ in range((turn + number) % 9):
                        await asyncio.sleep(0)
                    task.cancel()
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(*tasks, return_exceptions=True)
        assert ends["own"] >= 40 * 8 and ends["cancelled"]
        await outlet.close()


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_a_request_is_what_it_should_be():
    async with raw(polite) as site:
        outlet = Outlet("web", headers={"Authorization": "Bearer a", "X-Mine": "1"})
        prepared = outlet.prepare("POST", f"http://127.0.0.1:{site.port}/a b?q=ä#f", {"x-mine": "2"})
        response = await outlet.exchange(prepared, {"Mcp-Name": "x"}, b"{}")
        assert await outlet.body(response) == b"hello"
        lines = site.heads[0].decode().split("\r\n")
        assert lines[0] == "POST /a%20b?q=%C3%A4 HTTP/1.1"
        assert sorted(lines[1:-2]) == [
            "Accept-Encoding: identity", "Authorization: Bearer a", "Content-Length: 2", f"Host: 127.0.0.1:{site.port}",
            "Mcp-Name: x", "User-Agent: rune", "x-mine: 2",
        ]  # fmt: skip
        # What comes with the call goes over what was prepared, in whatever letters.
        await outlet.body(await outlet.exchange(prepared, {"AUTHORIZATION": "Bearer b"}, b""))
        assert site.heads[1].lower().count(b"authorization") == 1
        assert b"Bearer b" in site.heads[1]
        assert b"Content-Length: 0" in site.heads[1]
        await outlet.close()
    plain = Outlet("web").prepare("GET", "http://u:p%40@example.org", {})
    assert b"Authorization: Basic dTpwQA==\r\n" in plain.head
    assert b"Host: example.org\r\n" in plain.head
    assert plain.head.startswith(b"GET / HTTP/1.1\r\n")
    assert b"Host: [::1]:81\r\n" in Outlet("web").prepare("GET", "http://[::1]:81/", {}).head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nEvil: 1"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X\r\nEvil", "1"),
        ("X Y", "1"),
        ("", "1"),
        ("X:", "1"),
        ("ü", "1"),
    ],
)
async def test_no_value_can_end_its_line(name, value):
    for make in (
        lambda: Outlet("web", headers={name: value}).prepare("GET", "http://127.0.0.1/", {}),
        lambda: Outlet("web").prepare("GET", "http://127.0.0.1/", {name: value}),
    ):
        with pytest.raises(ConfigError, match=r"^web: the header"):
            make()
    async with raw(polite) as site:
        outlet = Outlet("web")
        with pytest.raises(ConfigError, match=r"^web: the header"):
            await outlet.exchange(outlet.prepare("GET", site.url, {}), {name: value})
        assert not site.heads
        await outlet.close()


async def test_a_url_cannot_smuggle_a_request():
    prepared = Outlet("web").prepare("GET", "http://127.0.0.1/a\r\nEvil: 1\r\n\r\n", {})
    assert prepared.head.count(b"\r\n") == 4
    assert b"\r\nEvil" not in prepared.head


# --- where to --------------------------------------------------------------------------------------------------------


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to(monkeypatch):
    """A name that is public when somebody looks, and private when it is connected to."""
    loop = asyncio.get_running_loop()
    async with raw(polite) as site:
        infos = {
            "mixed": [("10.0.0.1", site.port), ("127.0.0.1", site.port)],
            "private": [("127.0.0.1", site.port)],
        }

        getaddrinfo = loop.getaddrinfo

        async def look(host, port, **options):
            if host not in infos:
                return await getaddrinfo(host, port, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in infos[host]]

        monkeypatch.setattr(loop, "getaddrinfo", look)
        foreign = Outlet("foreign", policy=public)
        for host in infos:
            with pytest.raises(Unavailable, match="foreign: cannot connect"):
                await ask(foreign, f"http://{host}:{site.port}/")
        assert not site.accepted
        picky = Outlet("picky", policy=lambda address: str(address) == "127.0.0.1")
        assert await ask(picky, f"http://mixed:{site.port}/") == b"hello"
        await foreign.close()
        await picky.close()


async def test_a_redirect_is_judged_like_any_other_connection():
    async def moved(site, reader, writer):
        while head := await site.request(reader):
            if head.startswith(b"GET /mcp "):
                writer.write(answer(b"", b"Location: /there", status=b"307 T"))
            else:
                writer.write(answer())

    async with raw(moved) as site:
        outlet = Outlet("web")
        assert await ask(outlet, site.url) == b"hello"
        assert site.accepted == 1
        await outlet.close()
