"""A person signs in with a browser, and the answer comes back to a port of this machine (RFC 8252)."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable, Mapping
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from rune.errors import NeedsAuth, TimedOut

PATH: Final = "/callback"
PATIENCE: Final = 300.0
"""Seconds that a person has."""
_READ: Final = 10.0
_HEAD: Final = 16 * 1024
_PAGE: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {size}\r\n"
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n{more}\r\n{text}"
)


class Loopback:
    """Listens on 127.0.0.1 for one answer. `show` is told the address to visit, `port` is taken if it is free."""

    def __init__(self, show: Callable[[str], None], *, port: int = 0, patience: float = PATIENCE) -> None:
        self._show = show
        self._port = port
        self._patience = patience
        self._server: asyncio.Server | None = None
        self._answer: asyncio.Future[dict[str, str]] | None = None

    async def __aenter__(self) -> Self:
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._server = await self._listen(self._port)
        except OSError:
            self._server = await self._listen(0)
        return self

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_HEAD)

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()
        if self._answer is not None:
            self._answer.cancel()

    @property
    def redirect(self) -> str:
        """Where the browser is sent afterwards."""
        if self._server is None or not self._server.sockets:
            raise NeedsAuth("the sign-in is over")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{PATH}"

    async def visit(self, url: str) -> Mapping[str, str]:
        """Send the person to an address; the query of the answer. Nobody listens any more when this returns.

        Raises:
            TimedOut: nobody came back.
        """
        assert self._server is not None and self._answer is not None, "entered before"
        self._show(url)
        try:
            async with asyncio.timeout(self._patience):
                return await self._answer
        except TimeoutError:
            raise TimedOut(f"nobody has signed in within {self._patience:g} s", hint="try it again") from None
        finally:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ):
                head = await reader.readuntil(b"\r\n\r\n")
                self._reply(writer, head.decode("ascii", "replace"))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            # Whoever that was: it was not the browser that we wait for.
            pass
        finally:
            writer.close()

    def _reply(self, writer: asyncio.StreamWriter, head: str) -> None:
        method, _, rest = head.partition("\r\n")[0].partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        answer = self._answer
        if method != "GET" or target.path != PATH:
            status, text = "404 Not Found", "There is nothing here."
        elif answer is None or answer.done():
            status, text = "410 Gone", "This sign-in is over."
        else:
            pairs = parse_qsl(target.query, keep_blank_values=True)
            # A parameter that comes twice is an attack or a mistake: none of the two counts (RFC 6749, 3.1).
            names = [name for name, _ in pairs]
            answer.set_result({name: value for name, value in pairs if names.count(name) == 1})
            status, text = "200 OK", "You can close this window."
        self._say(writer, status, text)

    @staticmethod
    def _say(writer: asyncio.StreamWriter, status: str, text: str, more: str = "") -> None:
        """Answer with a line of text, and with `more` header lines."""
        body = text.encode()
        writer.write(_PAGE.format(status=status, size=len(body), more=more, text=text).encode())


def browse(url: str) -> bool:
    """Open a browser, where there is one."""
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
