"""Where a sign-in may lead: what the operator named, else https in the public network."""

from __future__ import annotations

import asyncio

import pytest

from rune.client.oauth.discovery import canonical
from rune.client.oauth.web import Web, origin
from rune.errors import Unavailable

HERE, THERE, INSIDE = "http://127.0.0.1:7000/mcp", "https://mcp.example/mcp", "http://10.1.2.3/mcp"


@pytest.mark.parametrize(
    ("server", "trusted", "url", "good"),
    [
        (THERE, (), "https://as.example/token", True),
        (THERE, (), "https://mcp.example/.well-known/x", True),
        (THERE, (), "http://as.example/token", False),
        (THERE, (), "http://127.0.0.1/token", False),
        (THERE, (), "http://localhost/token", False),
        (THERE, (), "ftp://as.example", False),
        (THERE, (), "https://", False),
        (THERE, (), "https://u:p@as.example", False),
        (THERE, (), "https://as.example:0/", False),
        (THERE, (), "https://[::1", False),
        (THERE, (), "", False),
        (HERE, (), "http://127.0.0.1:9/token", True),
        (HERE, (), "http://localhost:9/token", True),
        (HERE, (), "http://[::1]:9/token", True),
        (HERE, (), "http://10.1.2.3/token", False),
        (INSIDE, (), "http://10.1.2.3/.well-known/x", True),
        (INSIDE, (), "http://10.1.2.3:9000/", False),
        (INSIDE, ("http://10.1.2.3:9000/as",), "http://10.1.2.3:9000/token", True),
    ],
)
def test_which_urls_may_be_used(server: str, trusted: tuple[str, ...], url: str, good: bool) -> None:
    web = Web("x", server, trusted)
    if good:
        assert web.check(url) == url
    else:
        with pytest.raises(Unavailable, match="which is no https URL"):
            web.check(url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254"])
async def test_the_address_that_is_connected_to_is_the_one_that_is_checked(host: str) -> None:
    async with asyncio.timeout(20), Web("x", THERE) as web:
        with pytest.raises(Unavailable, match="is not a public address"):
            await web.get(f"https://{host}:9/.well-known/oauth-authorization-server")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://A.Example:443/MCP/", "https://a.example/MCP"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example/mcp#part", "https://a.example/mcp"),
        ("https://a.example:8443/mcp?x=1", "https://a.example:8443/mcp?x=1"),
        ("wss://a.example/mcp", "https://a.example/mcp"),
        ("http://[::1]:7000/mcp", "http://[::1]:7000/mcp"),
    ],
)
def test_the_identifier_of_a_server(url: str, same: str) -> None:
    assert canonical(url) == same
    assert canonical(same) == same


def test_origins_are_compared_with_their_port() -> None:
    assert origin("https://a") == origin("wss://A:443/x") != origin("https://a:444")
    assert origin("https://a:x") == ""
