"""`rune doctor`: for every way in which a server can be wrong, what is wrong and what to do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.web import Request, Response

from rune.cli.diagnosis import hint_for
from rune.client import client
from rune.config.model import SourceConfig
from rune.errors import TimedOut, Unavailable
from tests.client.fakes import Message
from tests.client.web import Handle, Web, legacy, modern, result

Rune = Callable[..., Any]
Site = Callable[[Handle], Web]

PYTHON = sys.executable
KEYS = ["name", "ok", "state", "error", "hint", "stderr"]


def only(ran: Any) -> dict[str, Any]:
    """The one source that was looked at."""
    value = ran.json
    assert list(value) == ["sources", "ok"]
    (source,) = value["sources"]
    assert list(source) == KEYS
    assert source["ok"] == value["ok"] == (ran.status == 0)
    return source  # type: ignore[no-any-return]


def test_all_is_well(rune: Rune, folder: Path) -> None:
    ran = rune("doctor", "tools.py", "--", PYTHON, "-m", "rune", "serve", "--stdio", "tools.py")
    assert ran.status == 0
    first, second = (line.split("\t") for line in ran.out.splitlines())
    assert first[:2] == ["tools", "ready"]
    assert first[2].startswith("2026-07-28, 6 tools, 0.")
    assert first[2].endswith("things 3")
    assert second[1] == "ready"
    assert only(rune("doctor", "tools.py", "--json")) == {
        "name": "tools", "ok": True, "state": "ready", "error": None, "hint": None, "stderr": "",
    }  # fmt: skip
    assert rune("doctor").status == 0, "the demo is well"


@pytest.mark.parametrize(
    ("command", "error", "hint", "stderr"),
    [
        (
            ("no-such-command-anywhere",), "command not found: no-such-command-anywhere",
            "install it, or give its full path", "",
        ),
        (
            (PYTHON, "-c", "import sys; sys.exit('no key: set JIRA_API_TOKEN first')"), "exited 1 after",
            'rune secret set JIRA_API_TOKEN, and env = { JIRA_API_TOKEN = "${secret:JIRA_API_TOKEN}" } in [sources.',
            "no key: set JIRA_API_TOKEN first",
        ),
        ((PYTHON, "-c", "import sys; sys.exit(3)"), "exited 3 after", "run its command by hand", ""),
        ((PYTHON, "-c", "print('hello'); input(); 1 / 0"), "exited 1 after", "run its command by hand", "ZeroDivision"),
    ],
)  # fmt: skip
def test_commands(rune: Rune, command: tuple[str, ...], error: str, hint: str, stderr: str) -> None:
    ran = rune("doctor", "--json", "--timeout", "20", "--", *command)
    source = only(ran)
    assert source["state"] == "failed"
    assert source["error"].startswith(f"{source['name']}: ")
    assert error in source["error"]
    assert hint in source["hint"]
    assert stderr in source["stderr"]
    told = rune("doctor", "--timeout", "20", "--", *command)
    assert told.status == 1
    assert told.err.count("\n") <= 4
    assert f"  fix: {source['hint']}" in told.err


def test_a_command_that_is_no_server(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PROBE_TIMEOUT", 0.3)
    source = only(rune("doctor", "--json", "--", "cat"))
    assert source["state"] == "failed"
    assert source["hint"] == "is it an MCP server on stdio?"


def test_a_command_that_says_nothing(rune: Rune) -> None:
    ran = rune("doctor", "--json", "--timeout", "0.5", "--", PYTHON, "-c", "import sys; sys.stdin.read()")
    source = only(ran)
    assert source["state"] == "starting"
    assert "0.5 s" in source["error"] or "in time" in source["error"]
    assert source["hint"] == "is it an MCP server on stdio? --timeout gives it longer"


async def page(web: Web, request: Request, message: Message) -> Any:
    return Response(text="<html>It works!</html>", content_type="text/html")


async def sign_in(web: Web, request: Request, message: Message) -> Any:
    return Response(status=401)


async def sick(web: Web, request: Request, message: Message) -> Any:
    return Response(status=503, text="try later", content_type="text/plain")


async def elsewhere(web: Web, request: Request, message: Message) -> Any:
    return Response(status=308, headers={"Location": "http://localhost:1/mcp"})


async def listing(web: Web, request: Request, message: Message) -> Any:
    return result(message, {"resultType": "complete", "tools": []})


@pytest.mark.parametrize(
    ("handle", "path", "error", "hint"),
    [
        (
            page,
            "/wrong",
            "no MCP server at this URL (status 404)",
            "check the path of the URL: most servers live at /mcp",
        ),
        (modern(listing), "/wrong", "no MCP server at this URL (status 404)", "there is one at http://127.0.0.1:"),
        (sign_in, "/wrong", "no MCP server at this URL (status 404)", "there is one at http://127.0.0.1:"),
        (page, "/mcp", "no JSON-RPC", "is that the URL of an MCP server? most of them live at /mcp"),
        (sign_in, "/mcp", "wants a sign-in first (401)", "rune auth login "),
        (sick, "/mcp", "answered with status 503: try later", "is that the URL of an MCP server?"),
        (elsewhere, "/mcp", "redirected to http://localhost:1/mcp (308)", "put that URL into the config"),
    ],
)
def test_urls(rune: Rune, site: Site, handle: Handle, path: str, error: str, hint: str) -> None:
    web = site(handle)
    source = only(rune("doctor", "--json", "--url", web.url.replace("/mcp", path)))
    assert (source["name"], source["state"]) == ("127-0-0-1", "failed")
    assert error in source["error"]
    assert hint in source["hint"]
    assert "tools/call" not in web.methods()


def test_a_url_where_nobody_listens(rune: Rune) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        source = only(rune("doctor", "--json", f"http://127.0.0.1:{port}/mcp"))
    assert f"cannot connect to 127.0.0.1:{port}: connection refused" in source["error"]
    assert source["hint"] == "is the server running, and is the URL right?"


def test_a_url_that_takes_its_time(rune: Rune) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        source = only(rune("doctor", "--json", "--timeout", "0.5", url))
    assert source["state"] == "starting"
    assert source["hint"] == "is it overloaded, or no MCP server? --timeout gives it longer"


def test_the_era_is_told(rune: Rune, site: Site) -> None:
    old = site(legacy(listing))
    assert "2025-06-18, 0 tools, " in rune("doctor", old.url).out
    new = site(modern(listing))
    assert "2026-07-28, 0 tools, " in rune("doctor", new.url).out


def test_the_revision_that_a_source_is_held_to(rune: Rune, folder: Path, site: Site) -> None:
    (folder / "rune.toml").write_text(f'[sources.a]\nurl = "{site(modern(listing)).url}"\nprotocol = "2025-06-18"\n')
    assert only(rune("doctor", "--json"))["ok"] is False
    (folder / "rune.toml").write_text(f'[sources.a]\nurl = "{site(legacy(listing)).url}"\nprotocol = "2025-06-18"\n')
    assert "2025-06-18, 0 tools, " in rune("doctor").out
    assert "  revision\t2025-06-18\n" in rune("inspect").out


def test_a_python_file_that_is_broken(rune: Rune, folder: Path) -> None:
    (folder / "bad.py").write_text("import nothing_of_the_kind\n")
    ran = rune("doctor", "--json", "bad.py", "tools.py")
    bad, good = ran.json["sources"]
    assert (bad["state"], bad["ok"], good["ok"], ran.status) == ("failed", False, True, 1)
    assert bad["error"].startswith("bad.py:1: ModuleNotFoundError")
    assert bad["hint"] == "install it beside rune, or correct the import"


def test_what_is_hidden_by_a_collision(rune: Rune, folder: Path) -> None:
    serve = f'["{PYTHON}", "-m", "rune", "serve", "--stdio", "tools.py"]'
    (folder / "rune.toml").write_text(
        f'[sources.one]\ncommand = {serve}\nprefix = ""\ntools = ["a*"]\n'
        f'[sources.two]\ncommand = {serve}\nprefix = ""\n'
    )
    ran = rune("doctor", "--json")
    one, two = ran.json["sources"]
    assert (one["ok"], two["ok"], two["state"], ran.status) == (True, False, "ready", 1)
    assert two["error"].startswith("two: add")
    assert "hidden: another source offers that name first" in two["error"]
    assert two["hint"] == 'give two another prefix, for example prefix = "two_"'
    listed = rune("list", "--json").json["sources"]
    assert [[tool["name"] for tool in each["tools"]][:2] for each in listed] == [["add"], ["echo", "fail"]]
    # It is the one that is called.
    assert rune("tool", "call", "add", "a=1").out == "3\n"


def test_a_bad_config_is_no_diagnosis(rune: Rune, folder: Path) -> None:
    (folder / "rune.toml").write_text("[sources.a]\n")
    ran = rune("doctor", "--json")
    assert ran.status == 1
    assert ran.json["error"]["message"].startswith("rune.toml:1: [sources.a] needs exactly one of")


@pytest.mark.parametrize(
    ("source", "error", "hint"),
    [
        (("npx",), Unavailable("a: command not found: npx"), "install Node.js, which brings npx, or give its full"),
        (("/x/uvx",), Unavailable("a: command not found: /x/uvx"), "install uv, which brings uvx, or give its full"),
        (("x",), Unavailable("a: was killed by SIGKILL after 1.0 s"), "run its command by hand, it says more there"),
        (("x",), TimedOut("a: late"), "is it an MCP server on stdio? --timeout gives it longer"),
        (None, Unavailable("a: no secure connection to a:1: self-signed"),
         "check its certificate; SSL_CERT_FILE can name an authority of your own"),
        (None, Unavailable("a: oh"), "is that the URL of an MCP server? most of them live at /mcp"),
        (None, Unavailable("a: oh", hint="do this"), "do this"),
        (("x",), Unavailable("a: oh", hint="do that"), "do that"),
    ],
)  # fmt: skip
def test_hints(source: tuple[str, ...] | None, error: Any, hint: str) -> None:
    config = (
        SourceConfig("a", "url", place="http://a") if source is None else SourceConfig("a", "command", command=source)
    )
    assert (hint_for(config, error, []) or "").startswith(hint)


def test_a_variable_that_was_given_is_not_asked_for() -> None:
    source = SourceConfig("a", "command", command=("x",), env={"API_KEY": "x"})
    assert (
        hint_for(source, Unavailable("a: exited 1"), ["bad API_KEY"]) == "run its command by hand, it says more there"
    )
    hint = hint_for(source, Unavailable("a: exited 1"), ["BASE_URL?", "bad API_KEY"])
    assert hint == 'it asks for BASE_URL: env = { BASE_URL = "${BASE_URL}" } in [sources.a]'
