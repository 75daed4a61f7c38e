"""The Auth of one owner at one upstream: tokens from the vault, renewed once for all who need them, obtained anew when
the server wants others. What it gives is of this owner, whoever makes the request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from rune.auth.door import Door, Visit, Visiting
from rune.auth.locks import holding
from rune.auth.vault import Account, Vault
from rune.client.oauth import registration
from rune.client.oauth.challenge import Challenge
from rune.client.oauth.code import by_person
from rune.client.oauth.discovery import Issuer, Protected, canonical, issuer_of, protected_by
from rune.client.oauth.dpop import ALGORITHM, Prover
from rune.client.oauth.grants import Denied, Desk, by_machine, refreshed
from rune.client.oauth.tokens import Credential, Registered, Tokens, read
from rune.client.oauth.web import Web
from rune.config.model import AuthTable
from rune.errors import NeedsAuth, TimedOut, Unavailable

log = logging.getLogger("rune.client")

GATEWAY: Final = ""
"""The owner of what the operator has signed in for; no caller is called like that."""
PAUSE: Final = 30.0
"""Seconds until a renewal is tried again that failed while the last token is still good."""
OVER: Final = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""What an issuer says when only a new sign-in helps."""


class OAuth:
    """One credential. `visit` is there where a person can be asked to sign in; `command` is what to type elsewhere."""

    def __init__(
        self, name: str, url: str, vault: Vault, settings: AuthTable | None = None, *, caller: str = GATEWAY
    ) -> None:
        self.name = name
        self.url = url
        self.visit: Visiting | None = None
        self.command = f"rune auth login {name}"
        self._settings = settings or AuthTable()
        self._vault = vault
        self._caller = caller
        self._resource = canonical(url)
        self._alone = asyncio.Lock()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._loaded = False
        self._credential: Credential | None = None
        self._prover: Prover | None = None
        self._header: dict[str, str] = {}
        self._renew_at = float("inf")

    # --- what the wires ask ---

    def now(self, method: str, url: str) -> Mapping[str, str] | None:
        if not self._loaded or time.time() >= self._renew_at:
            return None
        return self._header if self._prover is None or not self._header else self._proved(method, url)

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        if not self._loaded:
            self._adopt(await self._stored())
        if time.time() >= self._renew_at:
            used = self._header.get("Authorization")
            await self._guarded(lambda: self._renew(used))
        return self._header if self._prover is None or not self._header else self._proved(method, url)

    def _proved(self, method: str, url: str) -> Mapping[str, str]:
        """The token, and a proof that it is ours which is good for this exchange only."""
        assert self._prover is not None, "whoever calls has looked"
        token = self._header["Authorization"].partition(" ")[2]
        return {**self._header, "DPoP": self._prover.proof(method, url, token)}

    async def refused(self, proof: Mapping[str, str], status: int, headers: Mapping[str, str]) -> bool:
        challenge = Challenge.of(headers)
        if self._prover is not None and self._prover.learn(self.url, headers) and challenge.error == "use_dpop_nonce":
            return True
        if status == 403 and challenge.error != "insufficient_scope":
            return False
        used = proof.get("Authorization")
        if await self._guarded(lambda: self._better(used, status, challenge)):
            return True
        if self.visit is None:
            error = self._wanting(status, challenge)
            enter = partial(self._obtain, used, status, challenge)
            error.door = Door(self.name, enter, lambda: self._header.get("Authorization") != used)
            raise error
        async with self._alone:
            if self._header.get("Authorization") == used:
                await self._obtain(used, status, challenge, self.visit)
        return True

    def _wanting(self, status: int, challenge: Challenge) -> NeedsAuth:
        """What to type where nobody can be asked."""
        if status == 403:
            named = " ".join(challenge.scopes)
            extra = f' --scope "{named}"' if named else ""
            return NeedsAuth(
                f"{self.name}: wants more rights: {named or 'it does not say which'}", hint=self.command + extra
            )
        return NeedsAuth(f"{self.name}: wants a sign-in first ({status})", hint=self.command)

    # --- one at a time ---

    async def _guarded(self, work: Callable[[], Awaitable[bool]]) -> bool:
        """Do it while nobody else does, in this process or another. Whoever waits for it may leave without ending it: a
        refresh whose answer is lost costs a sign-in."""

        async def alone() -> bool:
            async with self._alone, holding(self._vault.lock_file(self._caller, self._resource)):
                return await work()

        task = asyncio.get_running_loop().create_task(alone())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("%s: %s", self.name, task.exception())

    async def _renew(self, used: str | None) -> bool:
        """The next token before the last one ends."""
        if self._header.get("Authorization") != used:
            return True
        stored = await self._stored()
        if stored is None or stored.tokens is None or stored.tokens.header != used:
            self._adopt(stored)
            return True
        try:
            return await self._refresh(stored)
        except (Unavailable, TimedOut, NeedsAuth) as error:
            if (stored.tokens.expires_at or 0) <= time.time():
                raise
            log.info("%s", error)
            self._renew_at = time.time() + PAUSE
            return True

    async def _better(self, used: str | None, status: int, challenge: Challenge) -> bool:
        """Whether there is a better token than the one that was refused, or one can be had without a person."""
        if self._header.get("Authorization") != used:
            return True
        stored = await self._stored()
        tokens = None if stored is None else stored.tokens
        if stored is not None and tokens is not None:
            if tokens.header != used:
                self._adopt(stored)
                return True
            if status == 401 and tokens.refresh_token and not tokens.fresh and await self._refresh(stored):
                return True
        if self._settings.grant == "authorization_code":
            return False
        await self._obtain(used, status, challenge, None)
        return True

    async def _refresh(self, stored: Credential) -> bool:
        """New tokens for the refresh token, stored before they are used. False when only a new sign-in helps."""
        async with self._web() as web:
            prover = self._prover if stored.dpop_key else None
            desk = Desk(web, stored.issuer, stored.token_endpoint, stored.client, self._settings, prover)
            try:
                tokens = await refreshed(desk, stored)
            except Denied as denied:
                if denied.error not in OVER:
                    raise
                log.info("%s", denied)
                if denied.error == "invalid_client":
                    await asyncio.to_thread(self._vault.forget, self._account(stored.issuer))
                    self._adopt(None)
                else:
                    await self._keep(msgspec.structs.replace(stored, tokens=None))
                return False
        await self._keep(msgspec.structs.replace(stored, tokens=tokens))
        return True

    # --- a new token ---

    async def sign_in(self, scopes: tuple[str, ...] = ()) -> Credential:
        """Obtain a token now, without waiting for a refusal; `scopes` are wanted like those of the config.

        Raises:
            NeedsAuth: there is none. Unavailable, TimedOut: nobody answers.
        """
        async with self._web() as web:
            answer = await web.post(self._resource, {"jsonrpc": "2.0", "id": 1, "method": "server/discover"})
        self._settings = msgspec.structs.replace(self._settings, scopes=(*self._settings.scopes, *scopes))
        async with self._alone:
            return await self._obtain(None, answer.status, Challenge.of(answer.headers), self.visit)

    async def _obtain(
        self, used: str | None, status: int, challenge: Challenge, visiting: Visiting | None
    ) -> Credential:
        """Find out who issues tokens for this server, become known there, and get one."""
        async with self._web() as web:
            protected = await protected_by(web, self.url, challenge)
            if protected is None and status not in (401, 403):
                raise NeedsAuth(f"{self.name}: asks for no sign-in (status {status})")
            entries = await self._entries()
            issuer = await issuer_of(web, self.url, protected, self._settings.issuer or self._last_issuer)
            self._check(issuer, entries)
            known = entries.get(issuer.name)
            asked, needed = self._scopes(challenge, protected, issuer, known)
            self._limit(used, status, challenge, known)
            bound = challenge.dpop or (protected is not None and protected.dpop)
            prover = self._bound(issuer, known) if bound else None
            if visiting is None:
                client = registration.configured(self._settings, issuer) or Registered(self._settings.client_id or "")
                desk = Desk(web, issuer.name, issuer.needs("token"), client, self._settings, prover)
                tokens = await by_machine(desk, issuer, asked)
            else:
                async with visiting(_port(known)) as visit:
                    client = await self._client(web, issuer, known, visit)
                    desk = Desk(web, issuer.name, issuer.needs("token"), client, self._settings, prover)
                    tokens = await self._by_person(desk, issuer, asked, visit)
        missing = [scope for scope in needed if scope not in tokens.scopes]
        if missing:
            raise NeedsAuth(f"{self.name}: {issuer.name} did not grant {' '.join(missing)}", hint="ask who runs it")
        credential = Credential(
            issuer.name, issuer.needs("token"), client, issuer.resource, asked, tokens,
            prover.pem if prover else None, issuer.endpoint("revocation"), time.time(),
        )  # fmt: skip
        self._prover = prover
        await self._keep(credential)
        return credential

    async def _by_person(self, desk: Desk, issuer: Issuer, asked: tuple[str, ...], visit: Visit) -> Tokens:
        """Somebody signs in; a registration that is not known there any more is forgotten for the next try."""
        try:
            return await by_person(desk, issuer, asked, visit)
        except Denied as denied:
            if denied.error == "invalid_client":
                await asyncio.to_thread(self._vault.forget, self._account(issuer.name))
            raise

    def _check(self, issuer: Issuer, entries: Mapping[str, Credential]) -> None:
        """A client that the config names belongs to one issuer: another one must not get its secret."""
        settings = self._settings
        if settings.issuer is not None and settings.issuer.rstrip("/") != issuer.name.rstrip("/"):
            raise NeedsAuth(
                f"{self.name}: names {issuer.name} as its authorization server, and the config {settings.issuer}",
                hint="correct auth.issuer if the server is right",
            )
        others = [name for name, entry in entries.items() if entry.client.id == settings.client_id]
        fixed = settings.client_id is not None and not registration.portable(settings)
        if settings.issuer is None and fixed and others and issuer.name not in others:
            raise NeedsAuth(
                f"{self.name}: its authorization server is now {issuer.name}, not {others[0]} any more",
                hint=f'if that is right, say auth.issuer = "{issuer.name}"',
            )

    def _scopes(
        self, challenge: Challenge, protected: Protected | None, issuer: Issuer, known: Credential | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What to ask for, and what must be granted: what the server names, and never less than before."""
        named = challenge.scopes or (protected.scopes if protected is not None else ())
        needed = dict.fromkeys((*challenge.scopes, *self._settings.scopes))
        asked = dict.fromkeys((*(known.asked if known is not None else ()), *named, *self._settings.scopes))
        asked.pop("offline_access", None)
        if self._settings.grant == "authorization_code" and "offline_access" in issuer.lists("scopes_supported"):
            asked["offline_access"] = None
        return tuple(asked), tuple(needed)

    def _limit(self, used: str | None, status: int, challenge: Challenge, known: Credential | None) -> None:
        """Asking again must change something, or it would never end."""
        tokens = None if known is None else known.tokens
        if known is None or tokens is None or used is None or tokens.header != used:
            return
        if status == 403 and set(challenge.scopes) <= set(known.asked):
            named = " ".join(challenge.scopes) or "more rights"
            raise NeedsAuth(f"{self.name}: wants {named}, and {known.issuer} was asked for that already")
        if status == 401 and tokens.fresh:
            raise NeedsAuth(f"{self.name}: refuses the token that {known.issuer} has just issued for it")

    async def _client(self, web: Web, issuer: Issuer, known: Credential | None, visit: Visit) -> Registered:
        """Who we are there: from the config, from before, or registered now."""
        client = registration.configured(self._settings, issuer)
        if client is not None:
            return client
        if known is not None and registration.usable(known.client, visit.redirect):
            return known.client
        return await registration.register(web, issuer, visit.redirect)

    def _bound(self, issuer: Issuer, known: Credential | None) -> Prover:
        offered = issuer.lists("dpop_signing_alg_values_supported")
        if ALGORITHM not in offered:
            raise NeedsAuth(f"{self.name}: wants tokens bound to a key, and {issuer.name} does not issue any we know")
        return self._prover or Prover(None if known is None else known.dpop_key)

    # --- the vault ---

    def _web(self) -> Web:
        trusted = [url for url in (self._settings.issuer, self._settings.idp) if url is not None]
        return Web(self.name, self._resource, trusted)

    def _account(self, issuer: str) -> Account:
        return Account(self._caller, issuer, self._resource)

    async def _entries(self) -> dict[str, Credential]:
        """What we have for this server, by issuer."""
        entries = await asyncio.to_thread(self._vault.entries, self._caller, self._resource)
        return {account.issuer: read(value) for account, value in entries.items()}

    def sign_ins(self) -> list[tuple[str, float]]:
        """Which sign-ins there are now, and since when: what a server shows to one of them is not for the next."""
        entries = self._vault.entries(self._caller, self._resource).values()
        return sorted((entry.issuer, entry.at) for entry in map(read, entries) if entry.tokens is not None)

    async def _stored(self) -> Credential | None:
        """The latest of them, unless the config has come to mean another client or issuer."""
        settings = self._settings
        fitting = [
            entry
            for entry in (await self._entries()).values()
            if (settings.client_id in (None, entry.client.id) or registration.portable(settings))
            and (settings.issuer is None or settings.issuer.rstrip("/") == entry.issuer.rstrip("/"))
        ]
        return max(fitting, key=lambda entry: entry.at, default=None)

    @property
    def _last_issuer(self) -> str | None:
        return None if self._credential is None else self._credential.issuer

    async def _keep(self, credential: Credential) -> None:
        """Store it, then use it: what is not written down would be lost with the process."""
        value: dict[str, Any] = msgspec.to_builtins(credential)
        await asyncio.to_thread(self._vault.save, self._account(credential.issuer), value)
        self._adopt(credential)

    def _adopt(self, credential: Credential | None) -> None:
        self._loaded = True
        self._credential = credential
        tokens: Tokens | None = None if credential is None else credential.tokens
        self._header = {} if tokens is None else {"Authorization": tokens.header}
        self._renew_at = float("inf") if tokens is None or tokens.renew_at is None else tokens.renew_at
        pem = None if credential is None else credential.dpop_key
        if pem is None:
            self._prover = None
        elif self._prover is None or self._prover.pem != pem:
            self._prover = Prover(pem)


async def revoke(name: str, url: str, credential: Credential, settings: AuthTable | None = None) -> bool:
    """Tell the issuer that the tokens are not needed any more (RFC 7009); False where it takes no such word."""
    tokens, endpoint = credential.tokens, credential.revocation_endpoint
    if tokens is None or endpoint is None:
        return tokens is None
    settings = settings or AuthTable()
    async with Web(name, canonical(url), [settings.issuer] if settings.issuer else ()) as web:
        desk = Desk(web, credential.issuer, endpoint, credential.client, settings)
        return await desk.revoke(tokens.refresh_token or tokens.access_token)


def _port(known: Credential | None) -> int:
    """The port that is registered, to come back to if it is free."""
    redirect = None if known is None else known.client.redirect
    return 0 if redirect is None else urlsplit(redirect).port or 0
