"""The answer of a browser comes back to one port of the loopback, once."""

from __future__ import annotations

import asyncio
import logging
import socket

import aiohttp
import pytest

from rune.auth import login
from rune.auth.login import Loopback, browse
from rune.auth.pkce import Pkce
from rune.errors import NeedsAuth, TimedOut


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(20):
        yield


async def get(url: str, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.request(method, url) as response:
        return response.status, await response.text()


async def test_one_answer_and_nobody_listens_any_more(caplog):
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    async with Loopback(shown.append) as listener:
        visit = asyncio.create_task(listener.visit("https://as.example/authorize?x=1"))
        redirect = listener.redirect
        assert redirect.startswith("http://127.0.0.1:")
        assert (await get(redirect.replace("/callback", "/favicon.ico")))[0] == 404
        assert (await get(redirect, "POST"))[0] == 404
        status, page = await get(f"{redirect}?code=c0de&state=st&empty=&iss=https%3A%2F%2Fas")
        assert (status, page) == (200, "You can close this window.")
        assert await visit == {"code": "c0de", "state": "st", "empty": "", "iss": "https://as"}
        assert shown == ["https://as.example/authorize?x=1"]
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(f"{redirect}?code=second")
    assert "c0de" not in "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("rune"))


async def test_a_parameter_that_comes_twice_counts_for_nothing():
    async with Loopback(lambda url: None) as listener:
        visit = asyncio.create_task(listener.visit("x"))
        await asyncio.sleep(0)
        await get(f"{listener.redirect}?code=a&code=b&state=st")
        assert await visit == {"state": "st"}


async def test_noise_does_not_end_it():
    async with Loopback(lambda url: None) as listener:
        visit = asyncio.create_task(listener.visit("x"))
        await asyncio.sleep(0)
        port = int(listener.redirect.split(":")[2].split("/")[0])
        for noise in (b"", b"\x00\xff\r\n\r\n", b"GET " + b"x" * 40_000, b"GET /callback?code=cut"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(noise)
            writer.write_eof()
            await reader.read()
            writer.close()
        await get(f"{listener.redirect}?code=a")
        assert await visit == {"code": "a"}


async def test_nobody_comes():
    async with Loopback(lambda url: None, patience=0.05) as listener:
        with pytest.raises(TimedOut, match=r"nobody has signed in within 0.05 s"):
            await listener.visit("x")
        with pytest.raises(NeedsAuth):
            listener.redirect  # noqa: B018


async def test_the_port_of_before_is_taken_if_it_is_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with Loopback(lambda url: None, port=port) as listener:
            assert f":{port}/" not in listener.redirect
    async with Loopback(lambda url: None, port=port) as listener:
        assert listener.redirect == f"http://127.0.0.1:{port}/callback"


def test_a_machine_without_a_browser(monkeypatch):
    def none(url: str) -> bool:
        raise login.webbrowser.Error("none")

    monkeypatch.setattr(login.webbrowser, "open", none)
    assert browse("https://as.example") is False


def test_the_secrets_of_a_sign_in_are_its_own():
    first, second = Pkce(), Pkce()
    assert len(first.verifier) == 64 and first.verifier != second.verifier and first.state != second.state
    assert first.mine(first.state)
    assert not first.mine(second.state) and not first.mine(None) and not first.mine("ü")
    assert first.challenge not in (first.verifier, second.challenge) and "=" not in first.challenge
