"""`rune add`: what is written, what is shown, and when nothing is written."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp.web import Request, Response

from rune.cli import screen
from tests.client.fakes import DISCOVERED, Message
from tests.client.web import Handle, Web, result

Rune = Callable[..., Any]
Site = Callable[[Handle], Web]
SERVE = (sys.executable, "-m", "rune", "serve", "--stdio", "tools.py")


def sources(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "rune.toml").read_text())["sources"]


def test_a_python_file(rune: Rune, folder: Path) -> None:
    ran = rune("add", "tools.py")
    assert ran.status == 0, ran.err
    names = [line.partition("\t")[0] for line in ran.out.splitlines()]
    assert names == ["tools_add", "tools_echo", "tools_fail", "tools_picture", "tools_name", "tools_slowly"]
    assert all("\tabout " in line and line.endswith(" tokens") for line in ran.out.splitlines())
    assert '+[sources.tools]\n+python = "tools.py"\n' in ran.err
    assert "tools: 2026-07-28, 6 tools, " in ran.err
    assert (
        "tokens in the context of a model (name, description and input schema as JSON, 4 characters a token)" in ran.err
    )
    assert (folder / "rune.toml").read_text() == '[sources.tools]\npython = "tools.py"\n'
    assert rune("tool", "call", "tools_add", "a=1").out == "3\n"


def test_a_command_keeps_what_is_there(rune: Rune, folder: Path) -> None:
    text = "# ours\n[server]\nport = 8000 # the usual one\n\n[sources.a]\npython = 'tools.py'\n# prefix = ''\n"
    (folder / "rune.toml").write_text(text)
    ran = rune("add", "me", "--env", "LEVEL=info", "--env", "PATH", "--prefix", "m_", "--", *SERVE)
    assert ran.status == 0, ran.err
    assert (folder / "rune.toml").read_text().startswith(text.rstrip())
    assert sources(folder)["me"] == {
        "command": list(SERVE), "prefix": "m_", "env": {"LEVEL": "info", "PATH": "${PATH}"},
    }  # fmt: skip
    assert ran.out.startswith("m_add\tabout ")
    assert "info" not in ran.err


def guarded(web: Web, request: Request, message: Message) -> Any:
    """Wants a token, and lists one tool."""
    if request.headers.get("Authorization") != "Bearer t0ken":
        return refused()
    if message["method"] == "server/discover":
        return answer(message, DISCOVERED)
    return answer(message, {"resultType": "complete", "tools": [{"name": "far", "inputSchema": {"type": "object"}}]})


async def refused() -> Response:
    return Response(status=401)


async def answer(message: Message, value: Any) -> Response:
    return result(message, value)


def test_a_url(rune: Rune, folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    web = site(guarded)
    monkeypatch.setenv("DOCS_TOKEN", "t0ken")
    ran = rune("add", "docs", web.url, "--header", "Authorization=Bearer ${DOCS_TOKEN}")
    assert ran.status == 0, ran.err
    assert sources(folder)["docs"] == {"url": web.url, "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"}}
    assert ran.out.startswith("docs_far\tabout ")
    assert "t0ken" not in ran.err + ran.out + (folder / "rune.toml").read_text()
    assert "tools/call" not in web.methods()


def test_what_wants_a_sign_in_is_added(rune: Rune, folder: Path, site: Site) -> None:
    web = site(guarded)
    ran = rune("add", "docs", web.url)
    assert ran.status == 0
    assert "docs: wants a sign-in first (401)\n  fix: rune auth login " in ran.err
    assert sources(folder) == {"docs": {"url": web.url}}


def test_a_secret_in_plain_text_is_remarked_on(rune: Rune, folder: Path) -> None:
    ran = rune("add", "me", "--env", "MY_TOKEN=sk-12345", "--env", "LEVEL=x", "--", *SERVE)
    assert ran.status == 0
    assert "me: the value of MY_TOKEN stands in the file as it is; rune secret set can keep it\n" in ran.err
    assert "sk-12345" not in ran.err
    assert "stands in the file" not in rune("add", "you", "--env", "MY_TOKEN=${HOME}", "--", *SERVE).err


def test_json(rune: Rune, folder: Path) -> None:
    value = rune("add", "tools.py", "--json").json
    assert value["config"] == "rune.toml"
    assert value["added"] == ["tools"]
    (source,) = value["sources"]
    assert (source["state"], source["tools"][0]["name"]) == ("ready", "tools_add")
    assert source["tokens"] == sum(tool["tokens"] for tool in source["tools"]) > 50
    assert "+[sources.tools]" in value["diff"]


def test_twice_is_once(rune: Rune, folder: Path) -> None:
    rune("add", "tools.py")
    before = (folder / "rune.toml").read_bytes()
    ran = rune("add", "tools.py")
    assert ran.status == 0
    assert "tools: it is there already" in ran.err
    assert (folder / "rune.toml").read_bytes() == before


def test_another_one_of_the_name(rune: Rune, folder: Path) -> None:
    rune("add", "me", "tools.py")
    before = (folder / "rune.toml").read_bytes()
    ran = rune("add", "me", "--", *SERVE)
    assert (ran.status, ran.out) == (1, "")
    assert "rune.toml:1: there is a source me already\n  fix: another name, or --replace\n" in ran.err
    assert (folder / "rune.toml").read_bytes() == before
    assert rune("add", "me", "--replace", "--", *SERVE).status == 0
    assert sources(folder) == {"me": {"command": list(SERVE)}}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("x", "--", "no-such-command-anywhere"), "x: command not found: no-such-command-anywhere\n  fix: install it"),
        (("x", "--", sys.executable, "-c", "import sys; sys.exit('no key: set API_KEY')"), "no key: set API_KEY"),
        (("x", "http://127.0.0.1:9/mcp"), "x: cannot connect to 127.0.0.1:9: connection refused"),
    ],
)
def test_what_does_not_work_is_not_added(rune: Rune, folder: Path, words: tuple[str, ...], error: str) -> None:
    (folder / "rune.toml").write_text("[server]\n")
    ran = rune("add", *words)
    assert (ran.status, ran.out) == (1, "")
    assert error in ran.err
    assert "--no-test adds it all the same" in ran.err
    assert (folder / "rune.toml").read_text() == "[server]\n"
    assert rune("add", "--no-test", *words).status == 0
    assert "x" in sources(folder)


def test_a_file_that_is_no_good_is_not_written_to(rune: Rune, folder: Path) -> None:
    for text in ("[sources.a]\nulr = 'x'\n", "[server\n", "[sources.a]\nurl = 'http://${UNSET}'\n"):
        (folder / "rune.toml").write_text(text)
        ran = rune("add", "tools.py")
        assert ran.status == 1
        assert "rune.toml:" in ran.err
        assert (folder / "rune.toml").read_text() == text


def test_a_variable_that_is_not_set(rune: Rune, folder: Path) -> None:
    ran = rune("add", "x", "--env", "NOT_SET_ANYWHERE", "--", *SERVE)
    assert ran.status == 1
    assert "${NOT_SET_ANYWHERE} is not set" in ran.err
    assert not (folder / "rune.toml").exists()


def test_an_mcp_json(rune: Rune, folder: Path) -> None:
    entries = {
        "Good One": {"command": SERVE[0], "args": SERVE[1:], "env": {"API_KEY": "sk-secret-1"}, "autoApprove": []},
        "bad": {"command": "no-such-command-anywhere", "env": {"BAD_KEY": "sk-secret-2"}},
        "off": {"command": "x", "disabled": True},
    }
    (folder / "mcp.json").write_text("// as they write it\n" + json.dumps({"mcpServers": entries}))
    ran = rune("add", "mcp.json")
    assert ran.status == 1
    assert "off: it is switched off there" in ran.err
    assert "Good One: good-one.API_KEY in the vault; without autoApprove" in ran.err
    assert "bad: command not found" in ran.err
    assert "sk-secret-1" not in ran.err + ran.out
    assert sources(folder) == {"good-one": {"command": list(SERVE), "env": {"API_KEY": "${secret:good-one.API_KEY}"}}}
    assert ran.out.startswith("good-one_add\t")
    assert rune("secret", "list").out == "good-one.API_KEY\n"
    (folder / "vs.json").write_text(json.dumps({"servers": {"again": {"command": SERVE[0], "args": SERVE[1:]}}}))
    ran = rune("add", "vs.json", "--json")
    assert ran.json["left_out"] == [{"name": "again", "reason": "it is there already, as good-one"}]
    (folder / "no.json").write_text("{}")
    ran = rune("add", "no.json")
    assert (ran.status, ran.err.splitlines()[0]) == (1, 'no.json: there is no "mcpServers"')


def test_a_secret_is_asked_for_on_a_terminal_only(rune: Rune, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("add", "me", "--secret", "MY_KEY", "--", *SERVE)
    ran = rune(*words)
    assert ran.status == 1
    assert "${secret:MY_KEY} is not in the vault\n  fix: rune secret set MY_KEY\n" in ran.err
    assert not (folder / "rune.toml").exists()
    asked: list[str] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append(text)
        assert options["hide_input"] is True
        return "typed"

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(screen, "interactive", lambda: True)
    # What does not work leaves nothing behind.
    assert rune("add", "me", "--secret", "MY_KEY", "--", "no-such-command-anywhere").status == 1
    assert rune("secret", "list").out == ""
    ran = rune(*words)
    assert ran.status == 0, ran.err
    assert "typed" not in ran.out + ran.err + (folder / "rune.toml").read_text()
    assert sources(folder)["me"]["env"] == {"MY_KEY": "${secret:MY_KEY}"}
    assert rune("secret", "list").out == "MY_KEY\n"
    # What is known is not asked for again.
    assert rune("add", "again", "--secret", "MY_KEY", "--", *SERVE).status == 0
    assert asked == ["value of MY_KEY"] * 2


def test_paths_are_meant_from_the_folder_of_the_file(rune: Rune, folder: Path) -> None:
    (folder / "sub").mkdir()
    assert rune("add", "tools.py", "--config", "sub/rune.toml").status == 0
    assert tomllib.loads((folder / "sub" / "rune.toml").read_text())["sources"]["tools"]["python"] == str(
        folder / "tools.py"
    )
    assert rune("check", "--config", "sub/rune.toml").status == 0


@pytest.mark.parametrize(
    ("words", "err"),
    [
        ((), "rune add: what is to be added?"),
        (("a", "b", "c"), "rune add: what is to be added?"),
        (("a", "npx"), "rune add: npx: no TARGET that is known\n  fix: rune add a -- npx …"),
        (("no.py",), "rune add: no.py: no such file"),
        (("A b", "tools.py"), 'rune add: "A b" is not 1 to 24 of a-z, 0-9 and "-"\n  fix: for example a-b'),
        (("a", "b", "--", "c"), "rune add: before -- there is only a name\n  fix: rune add a -- c"),
        (("a", "--secret", "A=1", "--", "c"), "rune add: 'A=1' is not NAME\n  fix: the value is asked for, or comes"),
        (("tools.py", "--env", "A=1"), "rune add: --env and --secret are for a command"),
        (("a", "--header", "A=1", "--", "c"), "rune add: --header is for a URL"),
        (("a", "http://x", "--header", "A"), "rune add: 'A' is not NAME=VALUE"),
        (("a", "--env", "1=2", "--", "c"), "rune add: '1=2' is not NAME or NAME=VALUE"),
        (("tools.py", "--config", "mcp.json"), "rune add: mcp.json is no rune.toml"),
        (("name", "m.json"), "rune add: the servers of an mcp.json come with their names and settings"),
    ],
)
def test_wrong_usage_is_status_2(rune: Rune, folder: Path, words: tuple[str, ...], err: str) -> None:
    (folder / "m.json").write_text("{}")
    ran = rune(*("add", *words))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(err)
    assert not (folder / "rune.toml").exists()
