"""The outgoing connector: where it goes, where it does not, and what it costs at most."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import ConfigError, Unavailable
from rune.net import Limits, Outlet, anywhere, public
from tests.client.web import serving

DEADLINE = 30.0

INSIDE = [
    "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("text", INSIDE)
def test_nothing_inside_is_public(text):
    assert not public(ipaddress.ip_address(text))
    assert anywhere(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_outside_is_public(text):
    assert public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_address_inside_of_another_is_judged_as_itself(address):
    for text in (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1",
    ):
        assert public(ipaddress.IPv6Address(text)) == public(address)


async def get(outlet: Outlet, url: str, limit: int | None = None) -> bytes:
    async with asyncio.timeout(DEADLINE), outlet.request("GET", url, headers={}) as response:
        return await outlet.body(response, limit)


async def hello(site, request, message):
    return web.Response(body=b"hello")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_policy_holds_for_names_and_for_literal_addresses(host):
    async with serving(hello) as site:
        url = site.url.replace("127.0.0.1", host)

        async def answer(request):
            return web.Response(body=b"inside")

        site.get = answer
        trusted, foreign = Outlet("mine"), Outlet("foreign", policy=public)
        try:
            assert await get(trusted, url) == b"inside"
            with pytest.raises(Unavailable, match=r"foreign: cannot connect .* is not a public address"):
                await get(foreign, url)
            assert len(site.gets) == 1
        finally:
            await trusted.close()
            await foreign.close()


async def test_one_connection_serves_many_requests_and_two_outlets_share_none():
    async with serving(hello) as site:
        peers = set()

        async def answer(request):
            peers.add(request.transport.get_extra_info("peername"))
            return web.Response(body=b"x")

        site.get = answer
        one, two = Outlet("one"), Outlet("two")
        try:
            for _ in range(5):
                await get(one, site.url)
            assert len(peers) == 1
            await get(two, site.url)
            assert len(peers) == 2
        finally:
            await one.close()
            await two.close()


async def test_an_answer_is_read_up_to_its_limit():
    async with serving(hello) as site:

        async def answer(request):
            return web.Response(body=b"x" * 1000)

        site.get = answer
        outlet = Outlet("web", limits=Limits(body=2000))
        try:
            assert len(await get(outlet, site.url)) == 1000
            assert len(await get(outlet, site.url, 1000)) == 1000
            with pytest.raises(Unavailable, match="web: the answer is longer than 999 bytes"):
                await get(outlet, site.url, 999)
        finally:
            await outlet.close()


async def test_endless_headers_are_refused():
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outlet = Outlet("web")
    try:
        with pytest.raises(Unavailable, match="web: "):
            await get(outlet, f"http://127.0.0.1:{port}/")
    finally:
        await outlet.close()
        server.close()


async def test_what_is_no_http_and_no_url_is_an_error_with_the_name_first():
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chatter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outlet = Outlet("web")
    try:
        with pytest.raises(Unavailable, match=r"^web: "):
            await get(outlet, f"http://127.0.0.1:{port}/")
        with pytest.raises(Unavailable, match=r"^web: no secure connection"):
            await get(outlet, f"https://127.0.0.1:{port}/")
        with pytest.raises(Unavailable, match=r"^web: cannot connect to no-such-host.invalid:80"):
            await get(outlet, "http://no-such-host.invalid/")
        for url in ("ftp://x/", "http:///x"):
            with pytest.raises(ConfigError, match=r"^web: "):
                await get(outlet, url)
    finally:
        await outlet.close()
        server.close()


async def test_a_closed_outlet_opens_nothing():
    outlet = Outlet("web")
    await outlet.close()
    with pytest.raises(Unavailable, match="web: closed"):
        await get(outlet, "http://127.0.0.1:1/")
