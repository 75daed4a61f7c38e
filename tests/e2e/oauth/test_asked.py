"""A client is asked to open a page in the middle of a call: real provider, real gateway, both eras, two callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rune.auth.vault import Vault
from tests.e2e.oauth.browser import browse
from tests.e2e.oauth.conftest import Place, User
from tests.e2e.oauth.test_serve import served
from tests.wire.client import Client, Refused
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

DEADLINE = 120
URL = {"elicitation": {"url": {}}}


class Clerk:
    """Opens the page that a client is asked to open."""

    def __init__(self, action: str = "accept") -> None:
        self.action = action
        self.pages: list[asyncio.Task[str]] = []
        self.urls: list[str] = []

    def __call__(self, params: dict[str, Any]) -> dict[str, Any]:
        assert params["mode"] == "url" and "books wants you to sign in" in params["message"]
        self.urls.append(params["url"])
        if self.action == "accept":
            self.pages.append(asyncio.create_task(browse(params["url"])))
        return {"action": self.action}


def config(user: User, url: str) -> str:
    path = user.folder / "rune.toml"
    path.write_text(f'[sources.books]\nurl = "{url}"\n[profiles.review]\ntools = ["books_who"]\n')
    return str(path)


async def ask(client: Client, clerk: Clerk) -> str:
    result, _ = await client.converse("tools/call", {"name": "books_who"}, {"elicitation/create": clerk})
    return str(result["content"][0]["text"])


@pytest.mark.parametrize("revision", [MODERN, "2025-11-25"])
def test_a_call_leads_to_a_sign_in_and_goes_through(revision: str, guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")

    async def story(url: str) -> None:
        client = HttpClient(url, revision, URL)
        clerk = Clerk()
        if revision != MODERN:
            await client.initialize()
        try:
            assert await ask(client, clerk) == "alice mcp:tools"
            assert [await page for page in clerk.pages] == ["You can close this window."]
            assert {tool["name"] for tool in (await client.request("tools/list"))["tools"]} == {
                "books_add",
                "books_who",
            }
            assert await ask(client, clerk) == "alice mcp:tools"
            assert len(clerk.urls) == 1, "signed in once"
        finally:
            await client.close()

    with served(alice, "--config", config(alice, guarded.url)) as gateway:
        asyncio.run(asyncio.wait_for(story(gateway.url), DEADLINE))
    # It is what `rune auth login` would have stored, and nothing of it is in the open.
    ((account, _),) = Vault(alice.folder / "home" / "vault", environ={}).entries("").items()
    assert (account.issuer, account.resource) == (guarded.provider.issuer, guarded.url)
    assert alice.rune("tool", "call", "who", "--url", guarded.url).stdout == "alice mcp:tools\n"


def test_two_callers_and_one_who_cannot_be_asked(guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")

    async def story(url: str) -> None:
        anna, berta, mute = (
            HttpClient(url, MODERN, URL),
            HttpClient(f"{url}/review", MODERN, URL),
            HttpClient(url, MODERN, {}),
        )
        try:
            with pytest.raises(Refused, match=r"books: wants a sign-in first \(401\): rune auth login books"):
                await mute.request("tools/call", {"name": "books_who"})
            hers = await anna.request("tools/call", {"name": "books_who"})
            theirs = await berta.request("tools/call", {"name": "books_who"})
            pages = {result["inputRequests"]["sign-in"]["params"]["url"] for result in (hers, theirs)}
            assert len(pages) == 2
            answer = {"inputResponses": {"sign-in": {"action": "accept"}}, "requestState": hers["requestState"]}
            with pytest.raises(Refused, match="invalid or expired requestState"):
                await berta.request("tools/call", {"name": "books_who", **answer})
            with pytest.raises(Refused, match="invalid or expired requestState"):
                await anna.request("tools/call", {"name": "books_add", "arguments": {"a": 1, "b": 2}, **answer})
            no = Clerk("decline")
            with pytest.raises(Refused, match="did not want to sign in: rune auth login books"):
                await ask(berta, no)
            await browse(hers["inputRequests"]["sign-in"]["params"]["url"])
            done = await anna.request("tools/call", {"name": "books_who", **answer})
            assert done["content"][0]["text"] == "alice mcp:tools"
            assert await ask(berta, no) == "alice mcp:tools", "the operator is signed in, wherever that was"
        finally:
            for client in (anna, berta, mute):
                await client.close()

    with served(alice, "--config", config(alice, guarded.url)) as gateway:
        asyncio.run(asyncio.wait_for(story(gateway.url), DEADLINE))


def test_a_sign_in_that_is_over_is_asked_for_again(guarded: Place, user: Callable[[str], User]) -> None:
    """The server is listed as it was; its token is good no more, and cannot be renewed."""
    alice = user("alice")
    path = config(alice, guarded.url)
    assert alice.rune("auth", "login", guarded.url).returncode == 0

    async def story(url: str) -> None:
        client, clerk = HttpClient(url, MODERN, URL), Clerk()
        try:
            assert await ask(client, clerk) == "alice mcp:tools"
            assert clerk.urls == []
        finally:
            await client.close()
        vault = Vault(alice.folder / "home" / "vault", environ={})
        ((account, value),) = vault.entries("").items()
        tokens = value["tokens"]
        earlier = {"obtained_at": tokens["obtained_at"] - 900}
        value["tokens"] = {**tokens, **earlier, "access_token": "void", "refresh_token": None}
        vault.save(account, value)

    async def again(url: str) -> None:
        client, clerk = HttpClient(url, MODERN, URL), Clerk()
        try:
            assert await ask(client, clerk) == "alice mcp:tools"
            assert len(clerk.urls) == 1
        finally:
            await client.close()

    with served(alice, "--config", path) as gateway:
        asyncio.run(asyncio.wait_for(story(gateway.url), DEADLINE))
    with served(alice, "--config", path) as gateway:
        asyncio.run(asyncio.wait_for(again(gateway.url), DEADLINE))
