"""Where an authorization server is looked for, older servers that are their own, and who we become there."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from rune.client.oauth.discovery import Issuer, places
from rune.client.oauth.registration import register, usable
from rune.client.oauth.tokens import Registered
from rune.client.oauth.web import Web
from rune.errors import NeedsAuth
from tests.client.fakes import call
from tests.client.oauth.site import oauth, reach, serving

BASIC, POST = "client_secret_basic", "client_secret_post"


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(30):
        yield


@pytest.mark.parametrize(
    ("issuer", "tried"),
    [
        ("https://as.example", ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]),
        ("https://as.example/", ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]),
        (
            "https://as.example/tenant/1",
            [
                "/.well-known/oauth-authorization-server/tenant/1",
                "/.well-known/openid-configuration/tenant/1",
                "/tenant/1/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_the_places_of_metadata_in_their_order(issuer: str, tried: list[str]) -> None:
    assert places(issuer) == [f"https://as.example{path}" for path in tried]


@pytest.mark.parametrize("published", [True, False])
async def test_an_older_server_is_its_own_authorization_server(published, tmp_path):
    async with serving() as site:
        site.prm = None
        site.metadata = {} if published else None
        site.redirect = {} if published else {"iss": None}
        async with reach(site, oauth(site, tmp_path)) as peer:
            await peer.handle(call())
        # Its revision knows no resource, but it gets PKCE all the same.
        assert "resource" not in site.visits[0] and "resource" not in site.forms[0]
        assert site.visits[0]["code_challenge_method"] == "S256" and "code_verifier" in site.forms[0]
        assert len(site.registrations) == 1


async def test_metadata_of_another_issuer_is_refused_there_too(tmp_path):
    async with serving() as site:
        site.prm, site.metadata = None, {"issuer": "https://evil.example"}
        with pytest.raises(NeedsAuth, match="is that of another issuer"):
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert site.registrations == []


# --- registration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "answer", "asked", "method"),
    [
        (None, {}, "none", "none"),
        ([POST], {"client_secret": "s"}, POST, POST),
        ([POST, BASIC], {"client_secret": "s"}, BASIC, BASIC),
        (["none", BASIC], {}, "none", "none"),
        (["none"], {"client_secret": "s"}, "none", "none"),
        (None, {"client_secret": "s"}, "none", BASIC),
        (["x"], {"client_secret": "s", "token_endpoint_auth_method": POST}, "none", POST),
        (None, {"client_secret": "", "client_secret_expires_at": 0}, "none", "none"),
    ],
)  # fmt: skip
async def test_how_a_new_client_identifies_itself(offered, answer, asked, method):
    async with serving() as site:
        heard = []

        async def take(request: web.Request) -> web.StreamResponse:
            heard.append(await request.json())
            return web.json_response({"client_id": "c", **answer}, status=201)

        site.register_with = take
        metadata = {"registration_endpoint": f"{site.base}/register", "token_endpoint_auth_methods_supported": offered}
        async with Web("x", site.url) as reached:
            made = await register(reached, Issuer(site.base, metadata, None), "http://127.0.0.1:1/callback")
        assert heard[0]["token_endpoint_auth_method"] == asked and made.method == method
        assert usable(made, "http://127.0.0.1:1/callback") and not usable(made, "http://127.0.0.1:2/callback")


@pytest.mark.parametrize(
    ("status", "answer"), [(400, {"error": "invalid_redirect_uri"}), (201, {}), (201, {"client_id": 7}), (403, {})]
)
async def test_an_issuer_that_takes_no_new_clients(status, answer, tmp_path):
    async with serving() as site:

        async def refuse(request: web.Request) -> web.StreamResponse:
            return web.json_response(answer, status=status)

        site.register_with = refuse
        with pytest.raises(NeedsAuth, match=r"did not register Rune: (invalid_redirect_uri|status)") as raised:
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert "client_id" in str(raised.value.hint)


def test_a_registration_that_has_ended() -> None:
    assert not usable(Registered("c", expires_at=1.0), None)
    assert usable(Registered("c", expires_at=9e12), None)
