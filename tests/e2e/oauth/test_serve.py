"""A gateway in front of protected servers: whose token goes out, when it is renewed, what a client can do about it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from rune import Client, RuneError
from rune.auth.vault import Account, Vault
from rune.client.oauth.tokens import Credential, Registered, Tokens
from tests.client.oauth.site import serving as trusting
from tests.client.oauth.site import tool_server
from tests.client.web import modern, serving
from tests.e2e.oauth.conftest import Place, User
from tests.e2e.oauth.test_login import expire
from tests.serving import RUNE, Serving
from tests.serving import rune as serve

DEADLINE = 120

CALLER = """
import asyncio, sys
from rune import Client

async def main(url):
    async with asyncio.timeout(100):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with Client(url) as client:
            results = await asyncio.gather(*(client.call_tool("add", {"a": number, "b": 1}) for number in range(20)))
        print([result.text for result in results] == [str(number + 1) for number in range(20)], flush=True)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def served(user: User, *words: str) -> Iterator[Serving]:
    kept = {name: os.environ.get(name) for name in user.environ}
    os.environ.update(user.environ)
    try:
        with serve(*words) as server:
            yield server
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_two_processes_at_the_moment_of_expiry_are_one_refresh(guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")
    assert alice.rune("auth", "login", guarded.url).returncode == 0
    old = expire(alice).tokens
    before = guarded.provider.count("grant.success", "refresh_token")
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", CALLER, guarded.url], env=alice.environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for caller in callers:
        assert caller.stdout is not None and caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("go\n")
        caller.stdin.flush()
    for caller in callers:
        out, _ = caller.communicate(timeout=DEADLINE)
        assert out == "True\n" and caller.returncode == 0
    assert guarded.provider.count("grant.success", "refresh_token") == before + 1
    assert guarded.provider.count("grant.error") == 0
    new = expire(alice).tokens
    assert old is not None and new is not None and new.refresh_token != old.refresh_token


def test_a_gateway_before_and_after_the_sign_in(guarded: Place, user: Callable[[str], User]) -> None:
    alice = user("alice")
    (alice.folder / "rune.toml").write_text(f'[sources.books]\nurl = "{guarded.url}"\n')
    config = str(alice.folder / "rune.toml")

    async def call(url: str) -> str:
        async with asyncio.timeout(DEADLINE), Client(url) as client:
            return (await client.call_tool("books_who")).text

    with served(alice, "--config", config) as gateway:
        refused = alice.rune("tool", "call", "books_who", "--url", gateway.url)
        assert refused.returncode == 1
        done = alice.rune("auth", "login", "books")
        assert done.stdout == f"books: signed in at {guarded.provider.issuer}, it offers 2 tools\n", done.stderr

        async def soon() -> str:
            # The gateway has found the server closed and looks again after a while.
            while True:
                try:
                    return await call(gateway.url)
                except RuneError:
                    await asyncio.sleep(0.2)

        assert asyncio.run(asyncio.wait_for(soon(), DEADLINE)) == "alice mcp:tools"


ATTACK = "Bearer of-the-client"
NAMES = [
    "Authorization", "authorization", "Proxy-Authorization", "X-Authorization", "X-Forwarded-Authorization",
    "X-Api-Key", "X-Upstream-Authorization", "X-Rune-Authorization", "X-MCP-Authorization", "Cookie", "DPoP", "Token",
    "Mcp-Param-Authorization", "Mcp-Param-x", "X-Original-Authorization", "Authentication", "X-Auth-Token",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["token in the config", "oauth"])
async def test_cve_2026_110279_no_header_of_a_request_replaces_the_stored_credential(
    kind: str, user: Callable[[str], User]
) -> None:
    alice = user("alice")
    async with asyncio.timeout(DEADLINE):
        if kind == "oauth":
            async with trusting() as site:
                auth = 'auth = { grant = "client_credentials", client_id = "m", client_secret = "of-the-config" }'
                await attacked(alice, site.url, auth)
                stored = {f"Bearer {token}" for token in site.tokens}
                # Before the first refusal there is nothing to prove with.
                seen = [dict(headers) for headers in site.seen if "Authorization" in headers]
        else:
            async with serving(modern(answer)) as plain:
                await attacked(alice, plain.url, 'headers = { Authorization = "Bearer of-the-config" }')
                stored = {"Bearer of-the-config"}
                seen = [headers for headers, _ in plain.heard]
    assert len(seen) > 2 * len(NAMES)
    for headers in seen:
        lower = {name.lower(): value for name, value in headers.items()}
        assert len(lower) == len(headers)
        assert lower["authorization"] in stored
        # Unknown ones of this family must pass (2026-07-28, Streamable HTTP); their prefix makes them harmless.
        assert {name for name, value in lower.items() if ATTACK in value} <= {"mcp-param-authorization", "mcp-param-x"}


async def answer(site: object, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
    return tool_server(message)


async def attacked(user: User, upstream: str, line: str) -> None:
    """Send calls of both eras to a gateway, each with another header that somebody might trust."""
    file = user.folder / "rune.toml"
    file.write_text(f'[sources.target]\nurl = "{upstream}"\nprefix = ""\n{line}\n')
    command = [RUNE, "serve", "--port", "0", "--json", "--config", str(file)]
    gateway = await asyncio.create_subprocess_exec(*command, env=user.environ, stdout=asyncio.subprocess.PIPE)
    try:
        assert gateway.stdout is not None
        url = json.loads(await gateway.stdout.readline())["url"]
        async with aiohttp.ClientSession() as http:
            session = await shaken(http, url)
            for name in NAMES:
                for headers, params in ((session, {}), (MODERN, {"_meta": META})):
                    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t", **params}}
                    async with http.post(url, json=call, headers={**ACCEPT, **headers, name: ATTACK}) as response:
                        text = (await response.text()).replace(" ", "")
                        assert '"content":[]' in text, (name, response.status, text)
    finally:
        gateway.terminate()
        assert await gateway.wait() == 0


ACCEPT = {"Accept": "application/json, text/event-stream"}
MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "t"}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


async def shaken(http: aiohttp.ClientSession, url: str) -> dict[str, str]:
    """The headers of a session of the older era."""
    about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": about}
    async with http.post(url, json=hello, headers=ACCEPT) as response:
        return {"Mcp-Session-Id": response.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


async def test_the_catalog_of_one_sign_in_is_not_kept_for_the_next(user: Callable[[str], User]) -> None:
    alice = user("alice")
    kept = alice.folder / "cache" / "catalogs"
    vault = Vault(alice.folder / "home" / "vault", environ={})
    seen = []
    async with asyncio.timeout(DEADLINE), trusting() as site:
        (alice.folder / "rune.toml").write_text(f'[sources.target]\nurl = "{site.url}"\n')
        for number in (1, 2):
            tokens = Tokens(f"token-{number}", obtained_at=float(number))
            site.tokens[tokens.access_token] = ()
            credential = Credential(site.base, f"{site.base}/token", Registered("c"), tokens=tokens, at=float(number))
            vault.save(Account("", site.base, site.url), msgspec.to_builtins(credential))
            command = [RUNE, "serve", "--stdio", "--config", str(alice.folder / "rune.toml")]
            gateway = await asyncio.create_subprocess_exec(
                *command, env=alice.environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            assert gateway.stdin is not None and gateway.stdout is not None
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
            gateway.stdin.write(json.dumps(listing).encode() + b"\n")
            assert b"target_t" in await gateway.stdout.readline()
            gateway.stdin.close()
            assert await gateway.wait() == 0
            seen.append({file.name for file in kept.iterdir()})
    assert len(seen[0]) == 1 and len(seen[1]) == 2
    assert all("token-" not in (kept / name).read_text() for name in seen[1])
