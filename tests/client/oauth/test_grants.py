"""Token requests: how a client identifies itself, what machines send, and keys and files that are no good."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rune.client.oauth.dpop import Prover
from rune.client.oauth.grants import JWT_BEARER, plain, signed
from rune.client.oauth.tokens import Tokens
from rune.config.model import AuthTable
from rune.errors import ConfigError, NeedsAuth, Unavailable
from tests.client.fakes import call
from tests.client.oauth.site import SECRET, oauth, reach, serving


@pytest.fixture(autouse=True)
async def deadline():
    async with asyncio.timeout(30):
        yield


def pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


# --- who we are ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offered", [None, ["client_secret_post", "client_secret_basic"], ["client_secret_post"]])
async def test_a_secret_goes_where_the_issuer_wants_it(offered, tmp_path):
    id, secret = "machine one", "s:ecret/ü"
    settings = AuthTable(grant="client_credentials", client_id=id, client_secret=secret, scopes=("read",))
    async with serving() as site:
        site.metadata = {"token_endpoint_auth_methods_supported": offered}
        async with reach(site, oauth(site, tmp_path, settings, person=False)) as peer:
            await peer.handle(call())
        form, headers = site.forms[0], site.form_headers[0]
        assert form["grant_type"] == "client_credentials" and form["scope"] == "read" and form["resource"] == site.url
        if offered == ["client_secret_post"]:
            assert (form["client_id"], form["client_secret"]) == (id, secret) and "Authorization" not in headers
        else:
            pair = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
            assert pair == "machine%20one:s%3Aecret%2F%C3%BC" and "client_secret" not in form
        # A machine needs nobody when its token ends.
        site.tokens.clear()
        site.token = {"refresh_token": ""}
        async with reach(site, oauth(site, tmp_path / "other", settings, person=False)) as peer:
            await peer.handle(call())


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_key_signs_for_one_issuer(algorithm, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 2048)
    settings = AuthTable(grant="client_credentials", client_id="m", private_key=pem(key), algorithm=algorithm)
    async with serving() as site:
        async with reach(site, oauth(site, tmp_path, settings, person=False)):
            pass
        form = site.forms[0]
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        claims = jwt.decode(form["client_assertion"], key.public_key(), [algorithm], audience=site.base)
        assert claims["iss"] == claims["sub"] == "m" and 0 < claims["exp"] - claims["iat"] <= 120
        assert len(site.form_headers[0].getall("Authorization", ())) == 0


@pytest.mark.parametrize(("key", "algorithm"), [("no key", "ES256"), ("", "RS256"), ("x", "XX"), ("secret", "none")])
def test_a_key_that_cannot_sign_is_not_shown(key: str, algorithm: str) -> None:
    with pytest.raises(ConfigError, match="is no key in PEM for") as raised:
        signed(AuthTable(private_key=key, algorithm=algorithm), "m", "https://as.example")
    assert raised.value.__cause__ is None
    assert not key or f"'{key}'" not in str(raised.value)


# --- machines --------------------------------------------------------------------------------------------------------


async def test_the_token_of_a_workload_is_read_each_time(tmp_path):
    file = tmp_path / "token"
    settings = AuthTable(grant="jwt_bearer", client_id="job", assertion_file=str(file))
    async with serving() as site:
        auth = oauth(site, tmp_path, settings, person=False)
        with pytest.raises(ConfigError, match=r"assertion_file .*: No such file"):
            await reach(site, auth).__aenter__()
        file.write_text("\n")
        with pytest.raises(ConfigError, match="is empty"):
            await reach(site, auth).__aenter__()
        for number in (1, 2):
            file.write_text(f"workload-{number}\n")
            async with reach(site, auth) as peer:
                await peer.handle(call())
                site.tokens.clear()
                site.refresh.clear()
                auth._credential.tokens.obtained_at -= 3600
                await auth._keep(auth._credential)
        sent = [form["assertion"] for form in site.forms if form["grant_type"] == JWT_BEARER]
        assert sent == ["workload-1", "workload-2"]


async def test_a_refusal_of_a_workload_is_told_and_not_tried_in_another_way(tmp_path):
    (tmp_path / "token").write_text("expired-workload-token")
    settings = AuthTable(grant="jwt_bearer", client_id="job", assertion_file=str(tmp_path / "token"))
    async with serving() as site:
        site.refusal = 400, {"error": "invalid_grant", "error_description": "expired-workload-token is expired"}
        with pytest.raises(NeedsAuth, match=r"gave no token: invalid_grant \(… is expired\)") as raised:
            await reach(site, oauth(site, tmp_path, settings, person=False)).__aenter__()
        assert raised.value.hint == "check auth of this source in the config"
        assert len(site.forms) == 1


async def test_an_enterprise_decides_first(tmp_path):
    (tmp_path / "id").write_text("id-token-of-alice")
    async with serving() as site, serving() as idp:
        settings = AuthTable(
            grant="token_exchange", client_id="rune", client_secret="s", idp=f"{idp.base}/token",
            idp_client_id="rune-at-idp", assertion_file=str(tmp_path / "id"),
        )  # fmt: skip
        idp.token = {"access_token": "the-grant", "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag"}
        async with reach(site, oauth(site, tmp_path, settings, person=False)) as peer:
            await peer.handle(call())
        first, second = idp.forms[0], site.forms[0]
        assert first["subject_token"] == "id-token-of-alice" and first["client_id"] == "rune-at-idp"
        assert (first["audience"], first["resource"]) == (site.base, site.url)
        assert (second["grant_type"], second["assertion"]) == (JWT_BEARER, "the-grant")
        assert "client_secret" not in first and "id-token-of-alice" not in str(second)
        idp.token["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        with pytest.raises(NeedsAuth, match="exchanged no token: status 200"):
            await reach(site, oauth(site, tmp_path / "b", settings, person=False)).__aenter__()


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {}, {"access_token": ""}, {"access_token": 7}, {"access_token": "a\r\nX: y"}, {"access_token": "ü"},
        {"access_token": "a", "token_type": "mac"}, {"access_token": "a", "token_type": 1},
    ],
)  # fmt: skip
def test_a_token_response_that_is_none(value: dict[str, object]) -> None:
    with pytest.raises(NeedsAuth):
        Tokens.read(value, ())


def test_what_a_token_response_leaves_out() -> None:
    tokens = Tokens.read({"access_token": "a", "expires_in": "7200"}, ("read",))
    assert (tokens.header, tokens.scopes, tokens.refresh_token, tokens.renew_at) == ("Bearer a", ("read",), None, None)
    assert tokens.expires_at is not None and 7199 < tokens.expires_at - tokens.obtained_at <= 7200
    tokens.refresh_token = "r"
    assert tokens.renew_at == tokens.expires_at - 300
    short = Tokens.read({"access_token": "a", "expires_in": 2, "refresh_token": "r", "scope": "b"}, ("read",))
    assert short.expires_at is not None and short.renew_at == pytest.approx(short.expires_at - 0.2)
    assert short.scopes == ("b",)
    assert Tokens.read({"access_token": "a", "expires_in": "soon"}, ()).expires_at is None


async def test_an_issuer_that_answers_no_json_is_unavailable(tmp_path):
    async with serving() as site:
        site.refusal = 502, {}
        with pytest.raises(Unavailable, match="answered a token request with status 502"):
            await reach(site, oauth(site, tmp_path)).__aenter__()


def test_what_others_say_is_made_plain() -> None:
    assert plain(None) == "" and plain(7) == ""
    assert plain(f"a\n{SECRET} b\x1b[0m", [SECRET, "b"]) == "a … b [0m"
    assert len(plain("x" * 1000)) == 200


# --- proofs of possession --------------------------------------------------------------------------------------------


def test_a_proof_is_for_one_exchange() -> None:
    prover = Prover()
    again = Prover(prover.pem)
    proofs = [each.proof("POST", "https://a.example/mcp?x=1#y", "token") for each in (prover, again)]
    for proof in proofs:
        head = jwt.get_unverified_header(proof)
        assert head["typ"] == "dpop+jwt" and head["alg"] == "ES256" and "d" not in head["jwk"]
        claims = jwt.decode(proof, jwt.PyJWK(head["jwk"]).key, ["ES256"])
        assert (claims["htm"], claims["htu"]) == ("POST", "https://a.example/mcp") and "nonce" not in claims
        digest = hashlib.sha256(b"token").digest()
        assert claims["ath"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert proofs[0] != proofs[1]
    heads = [jwt.get_unverified_header(proof)["jwk"] for proof in proofs]
    assert heads[0] == heads[1]


def test_a_nonce_belongs_to_the_server_that_gave_it() -> None:
    prover = Prover()
    assert prover.learn("https://a.example/token", {"DPoP-Nonce": "n1"})
    assert not prover.learn("https://a.example/other", {"DPoP-Nonce": "n1"})
    assert not prover.learn("https://a.example/token", {})
    options = {"verify_signature": False}
    assert jwt.decode(prover.proof("GET", "https://a.example/x"), options=options)["nonce"] == "n1"
    assert "nonce" not in jwt.decode(prover.proof("GET", "https://b.example/x"), options=options)


async def test_a_server_that_wants_bound_tokens_from_an_issuer_that_has_none(tmp_path: Path) -> None:
    async with serving() as site:
        site.prm = {"dpop_bound_access_tokens_required": True}
        with pytest.raises(NeedsAuth, match="wants tokens bound to a key"):
            await reach(site, oauth(site, tmp_path)).__aenter__()
        site.metadata = {"dpop_signing_alg_values_supported": ["ES256"]}
        with pytest.raises(NeedsAuth, match="issued a token that is not bound to our key"):
            await reach(site, oauth(site, tmp_path)).__aenter__()
        assert "DPoP" in site.form_headers[0]
        assert not (tmp_path / "vault").exists()
