"""An authorization server and the server that trusts it, in the process of the test: each answer can be bent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from aiohttp.test_utils import TestServer

from rune.auth.vault import Vault
from rune.client.client import Connection
from rune.client.http import endpoint
from rune.client.oauth.session import OAuth
from rune.config.model import AuthTable
from tests.client.web import modern, result

SECRET = "a-refresh-or-code-that-nobody-may-see"


class Site:
    """What it says of itself can be changed, what it was asked is kept."""

    def __init__(self) -> None:
        self.url = ""
        self.base = ""
        self.prm: dict[str, Any] | None = {}
        self.metadata: dict[str, Any] | None = {}
        self.redirect: dict[str, str | None] = {}
        """What stands in the redirect instead of the right thing; None leaves it out."""
        self.token: dict[str, Any] = {}
        """What stands in token responses besides."""
        self.refusal: tuple[int, dict[str, Any]] | None = None
        """What a token request is answered with instead."""
        self.wanted: tuple[str, ...] = ()
        """The scopes that a call needs; the rest of what is asked needs none."""
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.form_headers: list[Mapping[str, str]] = []
        self.visits: list[dict[str, str]] = []
        self.registrations: list[dict[str, Any]] = []
        self.tokens: dict[str, tuple[str, ...]] = {}
        self.refresh: set[str] = set()
        self.register_with: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.seen: list[Mapping[str, str]] = []
        self.numbers = itertools.count(1)
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()

    # --- the protected server ---

    async def mcp(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.headers.copy())
        message = await request.json()
        header = request.headers.get("Authorization", "")
        scopes = self.tokens.get(header.partition(" ")[2]) if header.startswith("Bearer ") else None
        place = f'resource_metadata="{self.base}/.well-known/oauth-protected-resource/mcp"'
        if scopes is None:
            self.asked["401"] += 1
            return web.Response(status=401, headers={"WWW-Authenticate": f"Bearer {place}"})
        missing = message["method"] == "tools/call" and not set(self.wanted) <= set(scopes)
        if missing:
            self.asked["403"] += 1
            told = f'Bearer error="insufficient_scope", scope="{" ".join(self.wanted)}", {place}'
            return web.Response(status=403, headers={"WWW-Authenticate": told})
        return await modern(lambda site, request, message: _done(message))(None, request, message)  # type: ignore[arg-type]

    async def about(self, request: web.Request) -> web.StreamResponse:
        self.asked["prm"] += 1
        if self.prm is None:
            return web.Response(status=404)
        return web.json_response({"resource": self.url, "authorization_servers": [self.base], **self.prm})

    # --- the authorization server ---

    async def server(self, request: web.Request) -> web.StreamResponse:
        self.asked["metadata"] += 1
        if self.metadata is None:
            return web.Response(status=404)
        value = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "registration_endpoint": f"{self.base}/register",
            "revocation_endpoint": f"{self.base}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return web.json_response({key: item for key, item in value.items() if item is not None})

    async def register(self, request: web.Request) -> web.StreamResponse:
        if self.register_with is not None:
            return await self.register_with(request)
        self.registrations.append(await request.json())
        return web.json_response({"client_id": f"client-{next(self.numbers)}"}, status=201)

    def answer(self, url: str) -> dict[str, str]:
        """What the browser of a user who agrees brings back."""
        query = dict(parse_qsl(urlsplit(url).query))
        self.visits.append(query)
        code = f"{SECRET}-{next(self.numbers)}"
        right = {"code": code, "state": query["state"], "iss": self.base, **self.redirect}
        return {key: value for key, value in right.items() if value is not None}

    async def issue(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl((await request.read()).decode()))
        self.forms.append(form)
        self.form_headers.append(request.headers.copy())
        self.asked[form["grant_type"]] += 1
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        if form["grant_type"] == "authorization_code":
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == self.visits[-1]["code_challenge"]
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh.remove(form["refresh_token"])
        scope = form.get("scope") or (self.visits[-1].get("scope", "") if self.visits else "")
        number = next(self.numbers)
        value = {
            "access_token": f"{SECRET}-access-{number}", "token_type": "Bearer", "expires_in": 3600, "scope": scope,
            "refresh_token": f"{SECRET}-refresh-{number}", **self.token,
        }  # fmt: skip
        self.tokens[value["access_token"]] = tuple(value["scope"].split())
        self.refresh.add(value["refresh_token"])
        return web.json_response(value)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        self.asked["revoke"] += 1
        return web.Response()


async def _done(message: dict[str, Any]) -> web.StreamResponse:
    return tool_server(message)


def tool_server(message: dict[str, Any]) -> web.StreamResponse:
    """One tool, `t`."""
    if message["method"] == "tools/list":
        tools = [{"name": "t", "inputSchema": {"type": "object"}}]
        return result(message, {"resultType": "complete", "tools": tools, "ttlMs": 60_000, "cacheScope": "private"})
    return result(message, {"resultType": "complete", "content": []})


class Browser:
    """A user who agrees to everything."""

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        self.redirect = f"http://127.0.0.1:{port or 4711}/callback"

    async def visit(self, url: str) -> Mapping[str, str]:
        return self.site.answer(url)


@asynccontextmanager
async def serving(site: Site | None = None) -> AsyncIterator[Site]:
    site = site or Site()
    app = web.Application()
    app.router.add_post("/mcp", site.mcp)
    app.router.add_get("/.well-known/oauth-protected-resource/mcp", site.about)
    app.router.add_get("/.well-known/oauth-authorization-server", site.server)
    app.router.add_post("/register", site.register)
    app.router.add_post("/token", site.issue)
    app.router.add_post("/revoke", site.revoke)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    site.url, site.base = str(server.make_url("/mcp")), str(server.make_url("")).rstrip("/")
    try:
        yield site
    finally:
        await server.close()


def oauth(
    site: Site, folder: Path, settings: AuthTable | None = None, *, person: bool = True, caller: str = ""
) -> OAuth:
    """A credential with a vault in a folder, and a person at a browser."""
    made = OAuth("guarded", site.url, Vault(folder / "vault", environ={}), settings, caller=caller)
    if person:

        @asynccontextmanager
        async def visiting(port: int) -> AsyncIterator[Browser]:
            yield Browser(site, port)

        made.visit = visiting
    return made


def reach(site: Site, auth: OAuth, **headers: str) -> Connection:
    """The server, as the upstream of a gateway reaches it."""
    return Connection(endpoint("guarded", site.url, headers=headers, auth=auth))
