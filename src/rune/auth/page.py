"""The page of the gateway that leads a person to a sign-in, and to which the browser comes back.

Its address cannot be guessed, and the first browser that opens it is the only one that can go through with it: whoever
makes somebody else sign in for them would need that one's browser.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote, urlsplit

from rune.auth.login import PATH, PATIENCE, Loopback

START: Final = "/sign-in/"
_OTHER: Final = "This sign-in was begun in another browser. Go on there, or ask for a new one."


class Page(Loopback):
    """Listens on 127.0.0.1 for one person. `name` is what they sign in to; `address` is the page to be visited, once
    `ready` is done."""

    def __init__(self, name: str, *, port: int = 0, patience: float = PATIENCE) -> None:
        super().__init__(self._leads_to, port=port, patience=patience)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._name = name
        self._id = secrets.token_urlsafe(32)
        self._browser: str | None = None
        self._target = ""

    @property
    def address(self) -> str:
        """The page."""
        return f"{self.redirect.removesuffix(PATH)}{START}{self._id}"

    def _leads_to(self, url: str) -> None:
        self._target = url
        if not self.ready.done():
            self.ready.set_result(None)

    def _reply(self, writer: asyncio.StreamWriter, head: str) -> None:
        method, _, rest = head.partition(" ")
        path = urlsplit(rest.partition(" ")[0]).path
        page = path.removeprefix(START) if path.startswith(START) else ""
        if path == PATH:
            if self._ours(head):
                super()._reply(writer, head)
            else:
                self._say(writer, "403 Forbidden", _OTHER)
        elif method != "GET" or not self._target or not hmac.compare_digest(page.encode(), self._id.encode()):
            self._say(writer, "404 Not Found", "There is nothing here.")
        elif self._browser is not None and not self._ours(head):
            self._say(writer, "403 Forbidden", _OTHER)
        else:
            self._browser = self._browser or secrets.token_urlsafe(32)
            cookie = f"Set-Cookie: {self._cookie}={self._browser}; Path=/; HttpOnly; SameSite=Lax\r\n"
            # What a server calls its address must not end a line of ours.
            target = quote(self._target, safe="%/:=&?~#+!$,;'@()*[]")
            self._say(writer, "303 See Other", f"Sign in to {self._name}.", f"{cookie}Location: {target}\r\n")

    @property
    def _cookie(self) -> str:
        # Browsers tell ports apart nowhere in cookies.
        return f"rune-{self._id[:12]}"

    def _ours(self, head: str) -> bool:
        """Whether it is the browser that has opened the page."""
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "cookie" and self._browser is not None:
                try:
                    found = SimpleCookie(value.strip()).get(self._cookie)
                except CookieError:
                    return False
                return found is not None and hmac.compare_digest(found.value.encode(), self._browser.encode())
        return False
