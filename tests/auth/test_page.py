"""The page that leads to a sign-in: for one browser, and only for who has its address."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from rune.auth.page import Page


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(30):
        yield


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with http.get(url, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", "")


async def test_the_browser_that_began_is_the_one_that_comes_back():
    async with Page("books") as page, browser() as mine, browser() as other:
        assert (await get(mine, page.address))[0] == 404, "it leads nowhere yet"
        visit = asyncio.create_task(page.visit("https://as.example/authorize?state=s"))
        await page.ready
        assert (await get(mine, f"{page.redirect}?code=early"))[0] == 403, "nobody has been at the page"
        assert (await get(mine, page.address[:-1]))[0] == 404
        assert (await get(mine, f"{page.address}x"))[0] == 404
        assert (await get(mine, f"{page.address.rpartition('/')[0]}/"))[0] == 404
        assert await get(mine, page.address) == (303, "https://as.example/authorize?state=s")
        assert (await get(other, page.address))[0] == 403
        assert (await get(other, f"{page.redirect}?code=stolen"))[0] == 403
        assert not visit.done()
        assert (await get(mine, page.address))[0] == 303, "the same browser may look again"
        assert (await get(mine, f"{page.redirect}?code=right&state=s"))[0] == 200
        assert await visit == {"code": "right", "state": "s"}


async def test_what_a_server_calls_its_address_ends_no_line_of_ours():
    async with Page("books") as page, browser() as http:
        visit = asyncio.create_task(page.visit("https://as.example/\r\nSet-Cookie: x=y\r\n\r\n<b>ä"))
        await page.ready
        async with http.get(page.address, allow_redirects=False) as response:
            assert response.headers["Location"] == "https://as.example/%0D%0ASet-Cookie:%20x=y%0D%0A%0D%0A%3Cb%3E%C3%A4"
            assert [name.partition("=")[0][:5] for name in response.headers.getall("Set-Cookie")] == ["rune-"]
        visit.cancel()


@pytest.mark.parametrize("cookie", ["", "x", "rune-=;;", 'a="\\777"', "\x00"])
async def test_broken_cookies_are_none(cookie):
    async with Page("books") as page, browser() as http:
        visit = asyncio.create_task(page.visit("https://as.example/"))
        await page.ready
        await get(http, page.address)
        _, _, port = page.redirect.rpartition(":")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port.partition("/")[0]))
        writer.write(f"GET /callback?code=x HTTP/1.1\r\nCookie: {cookie}\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"403"
        writer.close()
        await writer.wait_closed()
        assert not visit.done()
        visit.cancel()
