"""What every verb prints, as text and as JSON, and its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rune import __version__
from rune.cli import VERBS, late, main, screen
from rune.protocol.methods import REVISIONS

Rune = Callable[..., Any]
T = ("-t", "tools.py")


def test_tool_list(rune: Rune) -> None:
    ran = rune("tool", "list", *T)
    assert ran.status == 0
    assert ran.out.splitlines() == ["add\tAdd two numbers.", "echo", "fail", "picture", "name", "slowly"]
    assert ran.err == "loading\n"
    assert [tool["name"] for tool in rune("tool", "list", "--json", *T).json["tools"]][:2] == ["add", "echo"]


def test_tool_show(rune: Rune) -> None:
    ran = rune("tool", "show", "add", *T)
    assert ran.out.splitlines() == [
        "add", "Add two numbers.", "", "This line is not shown in lists.", "",
        "a\tinteger, required", "b\tinteger, default 2",
    ]  # fmt: skip
    assert rune("tool", "show", "add", "--json", *T).json["inputSchema"]["required"] == ["a"]


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("add", "a=1"), "3\n"),
        (("add", "a=1", "b:=5"), "6\n"),
        (("add", '{"a": 1, "b": 7}'), "8\n"),
        (("add", "a:=1"), "3\n"),
        (("echo", "text=12"), "12|[]\n"),
        (("echo", "text=x", 'tags=["a"]'), "x|['a']\n"),
        (("picture",), "[image image/png, 6 bytes]\n"),
        (("name",), "decline None\n"),
        (("slowly", "--timeout", "9"), "done\n"),
    ],
)
def test_tool_call(rune: Rune, words: tuple[str, ...], out: str) -> None:
    ran = rune("tool", "call", *words, *T)
    assert (ran.status, ran.out) == (0, out)


def test_tool_call_json_is_the_whole_result(rune: Rune) -> None:
    ran = rune("tool", "call", "add", "a=1", "--json", *T)
    assert ran.json["content"] == [{"type": "text", "text": "3"}]
    assert ran.json["structuredContent"] == 3
    assert "adding" in ran.err


def test_a_tool_that_fails_is_status_1(rune: Rune) -> None:
    ran = rune("tool", "call", "fail", *T)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith("out of paper\n  tray 2\n")
    ran = rune("tool", "call", "fail", "--json", *T)
    assert ran.status == 1
    assert ran.json["isError"] is True


def test_wrong_arguments_name_the_field(rune: Rune) -> None:
    ran = rune("tool", "call", "add", "a=x", *T)
    assert ran.status == 1
    assert "a: expected int" in ran.err.lower().replace("`", "")


@pytest.mark.parametrize("name", ["ad", "nothing-like-it"])
def test_an_unknown_tool(rune: Rune, name: str) -> None:
    ran = rune("tool", "call", name, "a=1", *T)
    assert (ran.status, ran.out) == (1, "")
    assert f"unknown tool: {name}" in ran.err
    assert ("fix: did you mean add?" in ran.err) == (name == "ad")
    assert "unknown tool" in rune("tool", "call", name, "--json", *T).json["error"]["message"]


def test_a_bare_name_is_found_behind_a_prefix(rune: Rune, folder: Path) -> None:
    (folder / "rune.toml").write_text('[sources.mine]\npython = "tools.py"\n')
    assert rune("tool", "call", "add", "a=1").out == "3\n"
    assert rune("tool", "call", "mine_add", "a=1", "--config", "rune.toml").out == "3\n"
    assert rune("tool", "show", "add").out.startswith("mine_add\n")


def test_resources(rune: Rune) -> None:
    assert rune("resource", "list", *T).out.splitlines() == [
        "note://one\ttext/x-note\tThe first note.",
        "raw://{size}\t\traw",
    ]
    assert set(rune("resource", "list", "--json", *T).json) == {"resources", "resourceTemplates"}
    assert rune("resource", "read", "note://one", *T).out == "text of one\n"
    assert rune("resource", "read", "raw://3", *T).out == "\0\0\0"
    assert rune("resource", "read", "note://one", "--json", *T).json["contents"][0]["text"] == "text of one\n"
    ran = rune("resource", "read", "note://two", *T)
    assert ran.status == 1
    assert "note://two" in ran.err


def test_prompts(rune: Rune) -> None:
    assert rune("prompt", "list", *T).out == "ask\ttopic [tone]\tAsk about something.\n"
    assert rune("prompt", "list", "--json", *T).json["prompts"][0]["name"] == "ask"
    assert rune("prompt", "get", "ask", "topic=rain", *T).out == "user:\nTell me about rain, dry.\n"
    assert rune("prompt", "get", "ask", "topic=x", "tone:=1", "--json", *T).json["messages"][0]["role"] == "user"
    assert rune("prompt", "get", "nothing", *T).status == 1


def test_inspect(rune: Rune) -> None:
    ran = rune("inspect", "tools.py", "--json")
    (server,) = ran.json["servers"]
    assert server["serverInfo"]["name"] == "things"
    assert server["revisions"] == list(REVISIONS)
    assert server["tools"][0]["name"] == "add"
    ran = rune("inspect", *T)
    assert "  server\tthings 3\n" in ran.out
    assert "  instructions\tbe kind\n" in ran.out
    assert "  resourceTemplates 1\traw://{size}\n" in ran.out


def test_inspect_shows_the_frames_of_a_command(rune: Rune) -> None:
    ran = rune("inspect", "--frames", "--", sys.executable, "-m", "rune", "serve", "--stdio", "tools.py")
    assert ran.status == 0, ran.err
    assert "  revision\t2026-07-28\n" in ran.out
    assert '> {"jsonrpc":"2.0","id":1,"method":"server/discover"' in ran.err
    assert '< {"jsonrpc":"2.0","id":1,"result":' in ran.err


def test_inspect_goes_on_when_one_server_is_dead(rune: Rune) -> None:
    ran = rune("inspect", "tools.py", "--json", "--", "no-such-command-anywhere")
    assert ran.status == 1
    good, bad = ran.json["servers"]
    assert "error" not in good
    assert bad["error"] == "no-such-command-anywhere: command not found: no-such-command-anywhere"
    ran = rune("inspect", "--", "no-such-command-anywhere")
    assert ran.status == 1
    assert "command not found" in ran.err


def test_check(rune: Rune, folder: Path) -> None:
    ran = rune("check", "tools.py", "--", "mcp-server-time", "-v")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        f"tools\tpython\ttools_\t{folder / 'tools.py'}", "time\tcommand\ttime_\tmcp-server-time -v",
    ]  # fmt: skip
    assert ran.err == "targets: ok, 2 sources\n"
    (folder / "rune.toml").write_text('[sources.mine]\npython = "tools.py"\n')
    ran = rune("check", "--json")
    assert ran.json["ok"] is True
    assert ran.json["sources"][0]["origin"] == "rune.toml:1"
    with (folder / "rune.toml").open("a") as file:
        file.write('[profiles.review]\ntools = ["mine_a*", "x"]\nprompts = ["p"]\n[profiles.empty]\n')
    ran = rune("check")
    assert ran.out.splitlines()[1:] == [
        "review\tprofile\t/mcp/review\ttools mine_a* x; prompts p", "empty\tprofile\t/mcp/empty\tnothing",
    ]  # fmt: skip
    assert ran.err == "rune.toml: ok, 1 source, 2 profiles\n"
    shown = rune("check", "--json").json["profiles"]
    assert shown["review"] == {"tools": ["mine_a*", "x"], "prompts": ["p"], "resources": []}
    (folder / "rune.toml").write_text("[server]\nprot = 1\n")
    ran = rune("check")
    assert (ran.status, ran.err) == (1, 'rune.toml:2: unknown key "prot" in [server]\n  fix: did you mean "port"?\n')
    assert rune("check", "--json").json["error"]["hint"] == 'did you mean "port"?'


def test_version(rune: Rune) -> None:
    assert rune("version").out.startswith(f"rune {__version__} (Python 3.")
    assert rune("version", "--json").json == {
        "rune": __version__, "python": sys.version.split()[0], "protocol": list(REVISIONS),
    }  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(rune: Rune, shell: str) -> None:
    assert "_RUNE_COMPLETE" in rune("completion", shell).out
    assert rune("completion", shell, "--json").json["shell"] == shell


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("nothing",), "rune: no such command 'nothing'\n  fix: rune --help\n"),
        (("sevre",), "rune: no such verb: sevre\n  fix: rune serve\n"),
        (("tool", "call"), "rune tool call: missing argument 'NAME'\n  fix: rune tool call --help\n"),
        (("tool", "list", "--what"), "rune tool list: no such option"),
        (("tool", "list", "-t", "none.py"), "rune tool list: none.py: no such file\n  fix: a TARGET is a URL"),
        (("tool", "call", "add", "what", *T), "rune tool call: 'what' is neither key=value"),
        (("tool", "call", "add", "a:=", *T), "rune tool call: a: no JSON"),
        (("tool", "list", "--url", "http://x", *T), "rune tool list: --url names a running gateway"),
        (("tool", "list", "--url", "x"), "rune tool list: x is no URL of an MCP server"),
        (("check", "--config", "none.toml"), "rune check: invalid value for '--config'"),
        (("completion", "csh"), "rune completion: invalid value"),
        (("serve", "--port", "x"), "rune serve: invalid value for '--port'"),
        ((), "Usage: rune "),
        (("tool",), "Usage: rune tool "),
    ],
)
def test_wrong_usage_is_status_2(rune: Rune, words: tuple[str, ...], err: str) -> None:
    ran = rune(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(err)
    assert "Traceback" not in ran.err


def test_servers_that_cannot_be_reached_are_status_1(rune: Rune) -> None:
    ran = rune("tool", "list", "--", sys.executable, "-c", "import sys; sys.exit('no key: set API_KEY')")
    assert ran.status == 1
    assert "exited 1" in ran.err
    assert "no key: set API_KEY" in ran.err
    assert ran.err.count("\n") <= 4
    assert rune("tool", "list", "--url", "http://127.0.0.1:9/mcp").status == 1


def test_one_dead_server_does_not_hide_the_others(rune: Rune) -> None:
    ran = rune("tool", "list", *T, "--", "no-such-command-anywhere")
    assert ran.status == 0
    assert ran.out.startswith("tools_add\t")


def test_a_bug_is_reported_without_a_traceback(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(screen, "value", broken)
    ran = rune("version", "--json")
    assert (ran.status, ran.err) == (
        1, "rune: ZeroDivisionError: oops\n  fix: this is a bug; --debug shows where it comes from\n",
    )  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        rune("version", "--json", "--debug")


def test_ctrl_c_is_status_130(rune: Rune, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(screen, "value", interrupted)
    assert rune("version", "--json").status == 130


def test_a_reader_that_goes_away_is_no_traceback(start: Callable[..., Any]) -> None:
    process = start("version")
    process.child.stdout.close()
    process.child.stdout = None
    _, err = process.child.communicate(timeout=20)
    assert process.child.returncode == 1
    assert err == b""


def test_debug_shows_the_traceback(rune: Rune) -> None:
    with pytest.raises(Exception, match="command not found"):
        rune("tool", "list", "--debug", "--", "no-such-command-anywhere")


def test_the_demo_is_there_when_nothing_is(rune: Rune, folder: Path) -> None:
    assert "Add two numbers." in rune("tool", "list").out
    assert rune("tool", "call", "add", "a=1", "b=2").out == "3\n"
    assert rune("tool", "call", "count", "text=a b").json == {"characters": 3, "words": 2, "lines": 1}
    assert rune("tool", "call", "countdown", "start=1").out == "1\ngo\n"
    assert rune("tool", "call", "greet").out == "Hello, whoever you are!\n"
    assert rune("resource", "read", "demo://squares/12").out == "144\n"
    assert rune("resource", "read", "demo://about").out.startswith("# Rune demo")
    assert "```c\n" in rune("prompt", "get", "review", "language=c", "code=x").out


def test_help_is_fast_to_find_and_names_every_verb(rune: Rune) -> None:
    ran = rune("--help")
    assert ran.status == 0
    assert all(f"\n  {verb} " in ran.out for verb in VERBS)
    for verb in VERBS:
        assert rune(verb, "-h").status == 0
        assert late(VERBS[verb][0]).name == verb


def test_main_leaves_with_the_status(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["version", "--json"])
    assert caught.value.code == 0
    assert json.loads(capfd.readouterr().out)["rune"] == __version__
