"""The requests that are sent, and the check that every answer goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

LEGACY: Final = "2025-11-25"
MODERN: Final = "2026-07-28"
ERAS: Final = ("modern", "legacy", "stateless")
"""`legacy` opens a session, `stateless` is the same wire without the handshake."""
METHODS: Final = {"call": "tools/call", "page": "tools/call", "list": "tools/list", "ping": "ping"}
TOOLS: Final = {"call": "echo", "page": "page"}
WORDS: Final = " the quick brown fox jumps over the lazy dog, and so on:"
"""What fills a text that has to be longer than its number: as people write, not one word without an end."""
PAGE: Final = 1 << 20
"""Characters that a `page` answers with: the text that was sent, and as much behind it as is missing."""

_INFO: Final = '{"name":"bench","version":"1"}'
_META: Final = (
    f'"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}",'
    f'"io.modelcontextprotocol/clientInfo":{_INFO},"io.modelcontextprotocol/clientCapabilities":{{}}}}'
)
HELLO: Final = (
    '{"jsonrpc":"2.0","id":0,"method":"initialize",'
    f'"params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{_INFO}}}}}'
).encode()
READY: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
LISTEN: Final = (
    '{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen",'
    f'"params":{{"notifications":{{"toolsListChanged":true}},{_META}}}}}'
).encode()

decode = msgspec.json.Decoder().decode


class WrongAnswer(Exception):
    """A server answered something else than it was asked for, or not at all."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages of one era: numbered requests, each with a text of its own in a `call`."""

    era: str = "modern"
    method: str = "call"
    size: int = 16
    tools: int = 1

    def text(self, number: int) -> str:
        """What the tool has to echo."""
        number_of = f"msg-{number:012d}"
        return (number_of + WORDS * (self.size // len(WORDS) + 1))[: max(self.size, len(number_of))]

    def request(self, number: int) -> bytes:
        members = []
        if self.method in TOOLS:
            members.append(f'"name":"{TOOLS[self.method]}","arguments":{{"text":"{self.text(number)}"}}')
        if self.era == "modern":
            members.append(_META)
        params = ",".join(members)
        return f'{{"jsonrpc":"2.0","id":{number},"method":"{METHODS[self.method]}","params":{{{params}}}}}'.encode()

    def headers(self) -> str:
        """What a request carries over HTTP besides the headers that all POSTs have."""
        if self.era != "modern":
            return f"Mcp-Protocol-Version: {LEGACY}\r\n"
        name = f"Mcp-Name: {TOOLS[self.method]}\r\n" if self.method in TOOLS else ""
        return f"Mcp-Protocol-Version: {MODERN}\r\nMcp-Method: {METHODS[self.method]}\r\n{name}"

    def check(self, raw: bytes, number: int) -> None:
        """Read an answer.

        Raises:
            WrongAnswer: when it is not the right answer to this request.
        """
        try:
            self.verify(decode(raw), number)
        except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise WrongAnswer(f"request {number}: {type(error).__name__}: {error}: {raw[:400]!r}") from None

    def verify(self, answer: dict[str, Any], number: int) -> None:
        """The same for an answer that has been decoded."""
        if answer["id"] != number or "result" not in answer:
            raise WrongAnswer(f"request {number}: {str(answer)[:400]}")
        result = answer["result"]
        if self.method in TOOLS:
            wanted = self.text(number).ljust(PAGE, "-") if self.method == "page" else self.text(number)
            if result.get("isError") or result["content"][0]["text"] != wanted:
                raise WrongAnswer(f"request {number}: not the text that was sent: {str(result)[:400]}")
        elif self.method == "list":
            found = len({tool["name"] for tool in result["tools"]})
            if found != self.tools or "nextCursor" in result:
                raise WrongAnswer(f"request {number}: {found} tools on one page, not {self.tools}")
