"""One credential from its first refusal to its end, against servers that do not behave."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from rune.auth.vault import Account, Vault
from rune.client.client import Connection
from rune.client.http import endpoint
from rune.client.oauth.discovery import canonical
from rune.client.oauth.later import Later
from rune.client.oauth.session import OAuth, revoke
from rune.client.oauth.tokens import Credential, read
from rune.config.model import AuthTable
from rune.errors import ConfigError, NeedsAuth, Unavailable
from tests.client.fakes import call
from tests.client.oauth.site import SECRET, Browser, Site, oauth, reach, serving
from tests.client.web import modern
from tests.client.web import serving as open_to_all

DEADLINE = 30.0


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(DEADLINE):
        yield


def stored(site: Site, folder: Path, caller: str = "") -> Credential:
    entries = Vault(folder / "vault", environ={}).entries(caller, canonical(site.url))
    assert len(entries) == 1
    return read(next(iter(entries.values())))


def age(site: Site, folder: Path, *, by: float, life: float = 3600.0) -> Credential:
    """Let a stored token be older than it is."""
    credential = stored(site, folder)
    assert credential.tokens is not None
    now = time.time()
    credential.tokens.obtained_at, credential.tokens.expires_at = now - by, now - by + life
    account = Account("", credential.issuer, canonical(site.url))
    Vault(folder / "vault", environ={}).save(account, msgspec.to_builtins(credential))
    return credential


@pytest.mark.parametrize("status", [401, 403])
async def test_an_error_carries_the_way_to_a_sign_in(status, tmp_path):
    """Nobody can be asked here, but whoever gets the error may know somebody."""
    async with serving() as site:
        auth = oauth(site, tmp_path, person=False)
        if status == 403:
            async with reach(site, oauth(site, tmp_path)) as peer:
                await peer.handle(call())
            site.wanted = ("write",)
        with pytest.raises(NeedsAuth) as caught:
            async with reach(site, auth) as peer:
                await peer.handle(call())
        door = caught.value.door
        assert door.name == "guarded" and not door.opened()

        @asynccontextmanager
        async def visiting(port):
            yield Browser(site, port)

        site.token = {"scope": "write"} if status == 403 else site.token
        await door.enter(visiting)
        assert door.opened()
        async with reach(site, auth) as peer:
            assert (await peer.handle(call())).kind == "complete"
        assert set(site.wanted) <= set(stored(site, tmp_path).asked)


# --- signing in ------------------------------------------------------------------------------------------------------


async def test_a_refusal_leads_to_a_sign_in_and_the_next_process_needs_none(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)) as peer:
            assert (await peer.handle(call())).kind == "complete"
        assert site.asked["authorization_code"] == 1 and len(site.registrations) == 1
        assert site.registrations[0] == {
            "client_name": "Rune",
            "redirect_uris": ["http://127.0.0.1:4711/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }
        assert site.visits[0]["resource"] == site.forms[0]["resource"] == site.url
        before = site.asked["401"]
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            await peer.handle(call())
        assert site.asked["401"] == before and len(site.visits) == 1


async def test_two_callers_have_nothing_of_each_other(tmp_path):
    async with serving() as site:
        for caller in ("alice", "bob"):
            async with reach(site, oauth(site, tmp_path, caller=caller)) as peer:
                await peer.handle(call())
        assert site.asked["authorization_code"] == 2 and len(site.registrations) == 2
        alice, bob = stored(site, tmp_path, "alice"), stored(site, tmp_path, "bob")
        assert alice.tokens is not None and bob.tokens is not None
        assert alice.tokens.access_token != bob.tokens.access_token
        async with reach(site, oauth(site, tmp_path, person=False, caller="alice")) as peer:
            await peer.handle(call())
        assert site.seen[-1]["Authorization"] == alice.tokens.header
        with pytest.raises(NeedsAuth):
            await reach(site, oauth(site, tmp_path, person=False, caller="carol")).__aenter__()


@pytest.mark.parametrize(
    ("redirect", "text"),
    [
        ({"state": "wrong"}, "does not belong to this sign-in"),
        ({"state": None}, "does not belong to this sign-in"),
        ({"iss": "https://evil.example"}, "the answer is not from http"),
        ({"iss": None}, "the answer is not from http"),
        ({"iss": "https://evil.example", "error": "access_denied", "error_description": "phish"}, "is not from"),
        ({"error": "access_denied", "code": None}, "refused: access_denied"),
        ({"code": None}, "the answer has no code"),
        ({"code": ""}, "the answer has no code"),
    ],
)
async def test_an_answer_that_is_none_to_us_gets_no_token(redirect, text, tmp_path):
    async with serving() as site:
        site.redirect = redirect
        with pytest.raises(NeedsAuth, match=text) as raised:
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert "phish" not in str(raised.value)
        assert site.forms == [] and not (tmp_path / "vault").exists()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_iss_is_compared_as_it_is(slash, tmp_path):
    async with serving() as site:
        site.metadata = {"authorization_response_iss_parameter_supported": None}
        site.redirect = {"iss": f"{site.base}{slash}"}
        if slash:
            with pytest.raises(NeedsAuth, match="the answer is not from"):
                await reach(site, oauth(site, tmp_path)).__aenter__()
        async with serving(Site()) as fine:
            fine.metadata, fine.redirect = {"authorization_response_iss_parameter_supported": None}, {"iss": None}
            async with reach(fine, oauth(fine, tmp_path)):
                pass


@pytest.mark.parametrize(
    ("prm", "metadata", "text"),
    [
        ({"resource": "https://other.example/mcp"}, {}, "its metadata is for https://other.example/mcp"),
        ({}, {"issuer": "https://evil.example"}, "is that of another issuer: 'https://evil.example'"),
        ({}, {"code_challenge_methods_supported": None}, "does not offer PKCE"),
        ({}, {"code_challenge_methods_supported": ["plain"]}, "does not offer PKCE"),
        ({}, {"token_endpoint": None}, "has no token endpoint"),
        ({}, {"registration_endpoint": None}, "takes no new clients"),
        ({}, {"authorization_endpoint": "file:///etc/passwd"}, "which is no https URL"),
        ({}, {"authorization_endpoint": "javascript:alert(1)"}, "which is no https URL"),
        ({}, {"token_endpoint": "http://169.254.169.254/latest"}, "which is no https URL"),
        ({"authorization_servers": ["http://169.254.169.254"]}, {}, "which is no https URL"),
        ({"authorization_servers": ["http://10.0.0.1:9"]}, {}, "which is no https URL"),
        ({"authorization_servers": ["https://10.0.0.1:9"]}, {}, "not a public address"),
        ({"authorization_servers": ["https://user@as.example"]}, {}, "which is no https URL"),
    ],
)
async def test_documents_of_a_server_lead_nowhere_that_they_must_not(prm, metadata, text, tmp_path):
    async with serving() as site:
        site.prm, site.metadata = prm, metadata
        with pytest.raises((NeedsAuth, Unavailable), match=text):
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert site.forms == []


async def test_metadata_is_not_fetched_by_way_of_a_redirect(tmp_path, monkeypatch):
    async with serving() as evil, serving() as site:

        async def elsewhere(self, request):
            from aiohttp import web  # noqa: PLC0415

            raise web.HTTPFound(f"{evil.base}/.well-known/oauth-authorization-server")

        site.server = elsewhere.__get__(site)
        site.metadata = None
        with pytest.raises((NeedsAuth, Unavailable)):
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert evil.asked["metadata"] == 0


async def test_a_scope_that_is_silently_smaller_is_named(tmp_path):
    async with serving() as site:
        site.token = {"scope": "read"}
        settings = AuthTable(scopes=("read", "write", "admin"))
        with pytest.raises(NeedsAuth, match=r"guarded: http://127.0.0.1:\d+ did not grant write admin"):
            await reach(site, oauth(site, tmp_path, settings)).__aenter__()
        assert not (tmp_path / "vault").exists()


async def test_without_a_person_the_error_says_what_to_type(tmp_path):
    async with serving() as site:
        with pytest.raises(NeedsAuth, match=r"guarded: wants a sign-in first \(401\)") as raised:
            await reach(site, oauth(site, tmp_path, person=False)).__aenter__()
        assert raised.value.hint == "rune auth login guarded"
        assert site.asked["prm"] == 0


# --- more rights -----------------------------------------------------------------------------------------------------


async def test_a_call_that_needs_more_asks_for_all_that_was_asked_for_and_more(tmp_path):
    async with serving() as site:
        site.prm = {"scopes_supported": ["read"]}
        async with reach(site, oauth(site, tmp_path)) as peer:
            site.wanted = ("write",)
            await peer.handle(call())
        assert [visit["scope"] for visit in site.visits] == ["read", "read write"]
        assert len(site.registrations) == 1
        # Elsewhere nobody can be asked.
        site.wanted = ("admin", "audit")
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            with pytest.raises(NeedsAuth, match="guarded: wants more rights: admin audit") as raised:
                await peer.handle(call())
            assert raised.value.hint == 'rune auth login guarded --scope "admin audit"'


async def test_a_right_that_is_never_granted_is_asked_for_once(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)) as peer:
            site.wanted, site.token = ("admin",), {"scope": "admin"}
            await peer.handle(call())
            site.tokens = dict.fromkeys(site.tokens, ())
            with pytest.raises(NeedsAuth, match=r"wants admin, and http.* was asked for that already"):
                await peer.handle(call())
        assert len(site.visits) == 2


async def test_a_server_that_refuses_what_was_just_issued_for_it_is_no_loop(tmp_path):
    async with serving() as site:
        auth = oauth(site, tmp_path)
        async with reach(site, auth) as peer:
            site.tokens.clear()
            with pytest.raises(NeedsAuth, match=r"refuses the token that http.* has just issued for it"):
                await peer.handle(call())
        assert site.asked["authorization_code"] == 1 and site.asked["refresh_token"] == 0


# --- refresh ---------------------------------------------------------------------------------------------------------


async def test_twenty_calls_at_the_moment_of_expiry_are_one_refresh(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        old = age(site, tmp_path, by=4000)
        auth, other = (oauth(site, tmp_path, person=False) for _ in range(2))
        proofs = await asyncio.gather(*(each.headers("POST", site.url) for each in (auth, other) for _ in range(20)))
        assert site.asked["refresh_token"] == 1 and len(site.visits) == 1
        assert len({proof["Authorization"] for proof in proofs}) == 1
        async with reach(site, auth) as peer:
            await peer.handle(call())
        new = stored(site, tmp_path)
        assert new.tokens is not None and old.tokens is not None
        assert new.tokens.refresh_token != old.tokens.refresh_token
        assert site.seen[-1]["Authorization"] == new.tokens.header
        assert site.forms[-1]["resource"] == site.url


async def test_a_refused_token_is_refreshed_once(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        age(site, tmp_path, by=100)
        site.tokens.clear()
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            await asyncio.gather(*(peer.handle(call()) for _ in range(5)))
        assert site.asked["refresh_token"] == 1


async def test_a_refresh_token_that_is_used_up_leads_to_a_sign_in(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        age(site, tmp_path, by=4000)
        site.refresh.clear()
        site.tokens.clear()
        with pytest.raises(NeedsAuth, match="wants a sign-in first"):
            await reach(site, oauth(site, tmp_path, person=False)).__aenter__()
        kept = stored(site, tmp_path)
        assert kept.tokens is None and kept.client.id == "client-1"
        # No second try with it, and no second registration for the sign-in.
        assert site.asked["refresh_token"] == 1
        async with reach(site, oauth(site, tmp_path)):
            pass
        assert site.asked["refresh_token"] == 1 and len(site.registrations) == 1
        assert stored(site, tmp_path).tokens is not None


@pytest.mark.parametrize(
    "refusal", [(503, {}), (429, {"error": "slow_down"}), (400, {"error": "invalid_target"})], ids=["503", "429", "400"]
)
async def test_a_token_is_used_to_its_end_when_the_next_one_is_late(refusal, tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        before = age(site, tmp_path, by=3500)
        site.refusal = refusal
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            await peer.handle(call())
        assert site.asked["refresh_token"] == 1 and stored(site, tmp_path) == before


async def test_rights_that_are_asked_for_come_on_top_of_what_the_server_names(tmp_path):
    async with serving() as site:
        site.prm = {"scopes_supported": ["read", "write"]}
        await oauth(site, tmp_path).sign_in(("admin",))
        assert site.visits[0]["scope"] == "read write admin"
        site.token = {"scope": "read write"}
        with pytest.raises(NeedsAuth, match="did not grant audit"):
            await oauth(site, tmp_path).sign_in(("audit",))


async def test_an_issuer_that_is_down_costs_no_sign_in(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        before = age(site, tmp_path, by=3500)
        site.refusal = 503, {}
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            await peer.handle(call())
            await peer.handle(call())
        assert site.asked["refresh_token"] == 1, "it is left alone for a while"
        before = age(site, tmp_path, by=4000)
        with pytest.raises(Unavailable, match="answered a token request with status 503"):
            await reach(site, oauth(site, tmp_path, person=False)).__aenter__()
        assert stored(site, tmp_path) == before
        site.refusal = None
        async with reach(site, oauth(site, tmp_path, person=False)) as peer:
            await peer.handle(call())


async def test_a_caller_that_leaves_does_not_lose_the_refresh(tmp_path):
    async with serving() as site:
        auth = oauth(site, tmp_path, person=False)
        async with reach(site, oauth(site, tmp_path)):
            pass
        old = age(site, tmp_path, by=4000)
        site.hold = asyncio.Event()
        leaving = asyncio.create_task(auth.headers("POST", site.url))
        await site.held.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        site.hold.set()
        headers = await auth.headers("POST", site.url)
        assert site.asked["refresh_token"] == 1
        new = stored(site, tmp_path).tokens
        assert new is not None and headers["Authorization"] == new.header != (old.tokens and old.tokens.header)


async def test_a_sign_out_reaches_a_running_process_at_the_next_refresh(tmp_path):
    async with serving() as site:
        auth = oauth(site, tmp_path)
        async with reach(site, auth) as peer:
            await peer.handle(call())
            credential = stored(site, tmp_path)
            Vault(tmp_path / "vault", environ={}).forget(Account("", credential.issuer, canonical(site.url)))
            assert await revoke("guarded", site.url, credential)
            assert site.asked["revoke"] == 1
            auth.visit, auth._renew_at = None, 0.0
            site.tokens.clear()
            with pytest.raises(NeedsAuth, match="wants a sign-in first"):
                await peer.handle(call())
        assert site.asked["refresh_token"] == 0


# --- who we are there ------------------------------------------------------------------------------------------------


async def test_another_issuer_gets_nothing_of_the_first(tmp_path):
    async with serving() as first, serving() as second:
        async with reach(first, oauth(first, tmp_path)) as peer:
            first.prm = {"authorization_servers": [second.base]}
            first.tokens.clear()
            first.answer = second.answer
            # Tokens of the second are good for the first server, too.
            second.tokens = first.tokens
            await peer.handle(call())
        assert len(second.registrations) == 1
        assert all("client-1" not in str(form) or form["client_id"] == "client-1" for form in second.forms)
        assert first.asked["refresh_token"] == 0
        entries = Vault(tmp_path / "vault", environ={}).entries("")
        assert {account.issuer for account in entries} == {first.base, second.base}


async def test_a_secret_of_the_config_is_shown_to_one_issuer(tmp_path):
    settings = AuthTable(client_id="by-hand", client_secret=f"{SECRET}-client")
    async with serving() as first, serving() as second:
        async with reach(first, oauth(first, tmp_path, settings)) as peer:
            first.prm = {"authorization_servers": [second.base]}
            first.tokens.clear()
            first.answer = second.answer
            with pytest.raises(NeedsAuth, match="its authorization server is now") as raised:
                await peer.handle(call())
            assert raised.value.hint == f'if that is right, say auth.issuer = "{second.base}"'
        assert second.forms == [] and second.visits == []
        named = AuthTable(client_id="by-hand", client_secret="x", issuer="https://login.example")
        with pytest.raises(NeedsAuth, match=r"and the config https://login\.example"):
            await reach(first, oauth(first, tmp_path, named)).__aenter__()
        assert second.forms == []


async def test_a_registration_for_another_port_is_made_anew(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        credential = stored(site, tmp_path)
        auth = oauth(site, tmp_path)
        await auth.sign_in(("more",))
        assert len(site.registrations) == 1, "the port was free again"
        credential.client.redirect = "http://127.0.0.1:4712/callback"
        credential.client.expires_at = 1.0
        Vault(tmp_path / "vault", environ={}).save(
            Account("", credential.issuer, canonical(site.url)), msgspec.to_builtins(credential)
        )
        await oauth(site, tmp_path).sign_in()
        assert len(site.registrations) == 2


async def test_a_registration_that_is_not_known_any_more_is_forgotten(tmp_path):
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)):
            pass
        site.refusal = 401, {"error": "invalid_client"}
        with pytest.raises(NeedsAuth, match="gave no token: invalid_client"):
            await oauth(site, tmp_path).sign_in()
        site.refusal = None
        await oauth(site, tmp_path).sign_in()
        assert len(site.registrations) == 2


async def test_a_vault_that_does_not_open_harms_no_server_that_wants_nothing(tmp_path, caplog):
    (tmp_path / "vault").write_bytes(b"nothing that anybody could open")

    def later(site: Site) -> Later:
        return Later(lambda: oauth(site, tmp_path, person=False), lambda: True)

    async with open_to_all(modern()) as plain:
        async with Connection(endpoint("plain", plain.url, auth=later(plain))) as peer:
            await peer.handle(call())
        assert "is no vault of this version" in caplog.text
    async with serving() as site:
        with pytest.raises(ConfigError, match="is no vault of this version"):
            await Connection(endpoint("guarded", site.url, auth=later(site))).__aenter__()


async def test_a_server_that_wants_no_sign_in_says_so(tmp_path):
    async with serving() as site:
        site.prm = None

        async def anybody(request):
            from aiohttp import web  # noqa: PLC0415

            return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}})

        site.mcp = anybody
        async with serving(site):
            with pytest.raises(NeedsAuth, match=r"guarded: asks for no sign-in \(status 200\)"):
                await oauth(site, tmp_path).sign_in()


# --- what nobody may see ---------------------------------------------------------------------------------------------


async def test_no_log_and_no_representation_shows_a_secret(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    settings = AuthTable(client_id="by-hand", client_secret=f"{SECRET}-client")
    async with serving() as site:
        auth = oauth(site, tmp_path, settings)
        async with reach(site, auth) as peer:
            await peer.handle(call())
        age(site, tmp_path, by=4000)
        async with reach(site, oauth(site, tmp_path, settings)) as peer:
            await peer.handle(call())
        credential = stored(site, tmp_path)
        secrets = [SECRET, site.visits[0]["state"], site.forms[0]["code_verifier"]]
        # The access log of the test server is not ours.
        ours = [record for record in caplog.records if not record.name.startswith("aiohttp.access")]
        shown = "\n".join(record.getMessage() for record in ours)
        shown += f"{auth!r}{vars(auth)!r}{credential!r}{credential.tokens!r}{credential.client!r}{settings!r}"
        assert repr(credential) == "Credential(…)"
        for secret in secrets:
            assert secret not in shown.replace(str(auth._header), "")


async def test_an_issuer_that_repeats_our_secret_does_not_get_it_printed(tmp_path):
    async with serving() as site:
        site.refusal = 400, {"error": "invalid_request", "error_description": f"bad code {SECRET}-2\n\x1b[31m"}
        with pytest.raises(NeedsAuth) as raised:
            await reach(site, oauth(site, tmp_path)).__aenter__()
        text = str(raised.value)
        assert SECRET not in text and "\x1b" not in text and "invalid_request (bad code …" in text


# --- CVE-2026-110279 -------------------------------------------------------------------------------------------------


async def test_cve_2026_110279_no_header_replaces_a_stored_credential(tmp_path):
    names = ["Authorization", "authorization", "AUTHORIZATION", "DPoP", "Proxy-Authorization", "Cookie"]
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path)) as peer:
            for name in names:
                request = call("t", {"x": 1})
                request.headers = {name.lower().encode(): b"Bearer of-the-client"}
                await peer.handle(request)
                peer._wire.headers[name] = "Bearer of-the-client"
                await peer.handle(call())
                del peer._wire.headers[name]
        credential = stored(site, tmp_path)
        assert credential.tokens is not None
        served = [headers for headers in site.seen if "Authorization" in headers]
        assert len(served) >= 2 * len(names)
        for headers in served:
            assert headers.getall("Authorization") == [credential.tokens.header]


def test_an_owner_has_a_name_that_no_caller_can_have():
    assert OAuth.__init__.__kwdefaults__ == {"caller": ""}
