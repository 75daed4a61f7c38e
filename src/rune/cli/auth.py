"""`rune auth`: sign in to the servers behind Rune, see what there is, and sign out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click

from rune.auth.door import Visit
from rune.auth.login import Loopback, browse
from rune.auth.vault import Account, Vault
from rune.build import oauth_of
from rune.cli import screen
from rune.cli.options import common, configured
from rune.client.oauth.discovery import canonical
from rune.client.oauth.session import GATEWAY, revoke
from rune.client.oauth.tokens import Credential, read
from rune.config.model import SourceConfig
from rune.connect import Client
from rune.errors import ConfigError, NotFound, RuneError

_config = click.option(
    "--config", "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A rune.toml or mcp.json.",
)  # fmt: skip
_source = click.argument("name", metavar="SOURCE")


@click.group()
def auth() -> None:
    """Sign in to servers that want it. SOURCE is the name of a source in the config, or the URL of a server.

    \b
    rune auth login github
    rune auth login https://example.org/mcp
    """


def _find(name: str, file: Path | None) -> SourceConfig:
    """The source that is meant.

    Raises:
        NotFound: there is none of this name. ConfigError: it has a token already.
    """
    config = configured((name,), None) if "://" in name else configured((), file)
    remote = {source.name: source for source in config.sources if source.kind == "url"}
    if "://" in name:
        return next(iter(remote.values()))
    if name not in remote:
        known = ", ".join(remote) or "none"
        where = config.path or "here"
        raise NotFound(f"{name}: no source with a url has this name ({where} has: {known})", hint="or give the URL")
    if any(header.lower() == "authorization" for header in remote[name].headers):
        raise ConfigError(f"{name}: its headers hold a token already", hint="take Authorization out of its headers")
    return remote[name]


@auth.command()
@_source
@_config
@click.option("--scope", metavar="SCOPES", default="", help="Ask for these too, separated by spaces.")
@click.option("--no-browser", is_flag=True, help="Only print the address to visit.")
@common
def login(name: str, file: Path | None, scope: str, no_browser: bool, as_json: bool) -> None:
    """Sign in with a browser, or as the config says; what comes of it is kept in the vault."""
    source = _find(name, file)

    def show(url: str) -> None:
        screen.err(f"{source.name}: sign in at this address\n  {screen.clean(url)}")
        if not no_browser:
            # Some browsers are waited for until they are closed.
            threading.Thread(target=browse, args=(url,), daemon=True).start()

    def visiting(port: int) -> AbstractAsyncContextManager[Visit]:
        return Loopback(show, port=port)

    found, tools = asyncio.run(_login(source, tuple(scope.split()), visiting))
    told = _told(Account(GATEWAY, found.issuer, canonical(source.place)), found)
    if as_json:
        screen.value({"name": source.name, "tools": tools, **told})
        return
    offers = "" if tools is None else f", it offers {tools} tool{'' if tools == 1 else 's'}"
    screen.out(f"{source.name}: signed in at {screen.clean(found.issuer)}{offers}")


async def _login(
    source: SourceConfig, scopes: tuple[str, ...], visiting: Callable[[int], AbstractAsyncContextManager[Visit]]
) -> tuple[Credential, int | None]:
    """Sign in, and look whether the server takes the token."""
    oauth = oauth_of(source)
    if source.auth is None or source.auth.grant == "authorization_code":
        oauth.visit = visiting
    found = await oauth.sign_in(scopes)
    oauth.visit = None
    async with Client(source.place, headers=source.headers, auth=oauth) as client:
        has_tools = "tools" in (await client.discover()).get("capabilities", {})
        return found, len(await client.list_tools()) if has_tools else None


@auth.command("list")
@common
def list_(as_json: bool) -> None:
    """List the servers that you are signed in to."""
    entries = Vault().entries(GATEWAY)
    told = [_told(account, read(value)) for account, value in sorted(entries.items())]
    if as_json:
        screen.value({"accounts": told})
        return
    screen.rows([(each["server"], each["state"], each["issuer"], " ".join(each["scopes"])) for each in told])


def _told(account: Account, credential: Credential) -> dict[str, Any]:
    """What may be shown of a credential."""
    tokens = credential.tokens
    if tokens is None:
        state = "signed out"
    elif tokens.refresh_token is None and tokens.expires_at is not None and tokens.expires_at <= time.time():
        state = "expired"
    else:
        state = "signed in"
    return {
        "server": account.resource,
        "issuer": account.issuer,
        "state": state,
        "scopes": list(tokens.scopes) if tokens else [],
        "expires_at": tokens.expires_at if tokens else None,
    }


@auth.command()
@_source
@_config
@common
def logout(name: str, file: Path | None, as_json: bool) -> None:
    """Forget the sign-in to a server, here and, where it takes that, at its authorization server."""
    source = _find(name, file)
    vault = Vault()
    entries = vault.entries(GATEWAY, canonical(source.place))
    if not entries:
        raise NotFound(f"{source.name}: you are not signed in", hint="rune auth list")
    revoked = []
    for account, value in entries.items():
        vault.forget(account)
        try:
            revoked.append(asyncio.run(revoke(source.name, source.place, read(value), source.auth)))
        except RuneError as error:
            revoked.append(False)
            screen.err(f"{error}")
    if as_json:
        screen.value({"name": source.name, "revoked": all(revoked)})
    elif not all(revoked):
        screen.err(f"{source.name}: signed out here; its tokens live on until they expire")
