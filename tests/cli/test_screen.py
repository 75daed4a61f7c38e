"""What a person sees, and what a program that reads our output sees."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.cli import screen, tools
from rune.client.views import ToolResult
from rune.errors import Unavailable
from rune.request import Result


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stdout and stderr of a person, 40 columns wide."""
    stream = Terminal()
    monkeypatch.setattr(screen, "sys", SimpleNamespace(stdout=stream, stderr=stream))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """stdout of a program."""
    stream = io.StringIO()
    monkeypatch.setattr(screen, "sys", SimpleNamespace(stdout=stream, stderr=stream))
    return stream


def test_rows_are_aligned_and_cut_for_people(terminal: Terminal) -> None:
    screen.rows([("a", "first"), ("longer", "x" * 100), ("b", "")])
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "\x1b[36ma     \x1b[0m  first"
    assert lines[1] == f"\x1b[36mlonger\x1b[0m  {'x' * 31}…"


def test_rows_are_whole_and_bare_for_programs(piped: io.StringIO) -> None:
    screen.rows([("a", "x" * 100), ("b", "tab\there"), ("c", "", "")])
    assert piped.getvalue() == f"a\t{'x' * 100}\nb\ttab here\nc\n"
    screen.rows([])


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_switched_off(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert screen.paint("x", "red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv(name, value)
    assert screen.paint("x", "red") == "x"


def test_there_is_no_colour_in_a_pipe(piped: io.StringIO) -> None:
    assert screen.paint("x", "red") == "x"


def test_text_of_others_does_not_steer_the_terminal(terminal: Terminal) -> None:
    assert screen.clean("a\x1b[2Jb\x07\n\tc\x9b") == "a[2Jb\n\tc"
    assert screen.block({"type": "text", "text": "\x1b]0;x\x07"}) == "]0;x"


def test_text_of_others_is_untouched_in_a_pipe(piped: io.StringIO) -> None:
    assert screen.clean("a\x1b[2Jb") == "a\x1b[2Jb"


def test_json_is_indented_for_people_only(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    screen.value({"a": 1})
    assert terminal.getvalue() == '{\n  "a": 1\n}\n'
    stream = io.StringIO()
    monkeypatch.setattr(screen, "sys", SimpleNamespace(stdout=stream))
    screen.value({"a": 1})
    assert stream.getvalue() == '{"a":1}\n'


@given(st.text(max_size=200), st.none() | st.just("do this"))
def test_an_error_has_at_most_four_lines(message: str, hint: str | None) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        screen.error(message, hint)
    assert 1 <= stream.getvalue().count("\n") <= 4
    assert (hint is not None) == stream.getvalue().endswith("  fix: do this\n")


def test_a_long_error_keeps_its_first_line_and_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    screen.failure(Unavailable("one\ntwo\nthree\n\nfour", hint="five"), as_json=False)
    assert capsys.readouterr().err == "one\n  three\n  four\n  fix: five\n"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "x"}, "x"),
        ({"type": "image", "mimeType": "image/png", "data": "AAAA"}, "[image image/png, 3 bytes]"),
        ({"type": "resource_link", "name": "n", "uri": "u://1"}, "[n: u://1]"),
        ({"type": "resource", "resource": {"uri": "u://1", "text": "inner"}}, "inner"),
        ({"type": "resource", "resource": {"uri": "u://1", "blob": "AA=="}}, "[u://1]"),
        ({"type": "odd"}, "[odd , 0 bytes]"),
        ({}, "[None , 0 bytes]"),
    ],
)
def test_content_blocks(block: dict[str, Any], text: str) -> None:
    assert screen.block(block) == text


def test_bytes_are_named_to_people(terminal: Terminal) -> None:
    screen.data(b"\x00\x01", "image/png")
    assert terminal.getvalue() == "[image/png, 2 bytes]\n"


def test_progress_appears_after_a_while_and_is_removed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = tools.Progress()
    progress(1, 4, "soon")
    progress.clear()
    assert terminal.getvalue() == ""
    monkeypatch.setattr(tools, "PATIENCE", 0)
    progress(1, 4, "one\ntwo\x1b")
    progress(7, None, None)
    progress.clear()
    assert terminal.getvalue() == "\r\x1b[K 25 %  one\r\x1b[K7  \r\x1b[K"


def test_log_lines(terminal: Terminal) -> None:
    tools.log_line("info", {"a": 1}, None)
    tools.log_line("error", "x", "tool")
    assert terminal.getvalue() == '\x1b[2minfo: {"a":1}\x1b[0m\n\x1b[2merror: x\x1b[0m\n'


def test_how_this_command_is_typed_again(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def typed(first: str) -> str:
        monkeypatch.setattr(sys, "argv", [first])
        return screen.program()

    script = folder / "bin" / "rune"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    assert typed(str(script)) == "bin/rune"
    assert typed("bin/rune") == "bin/rune"
    assert typed("/elsewhere/rune") == "/elsewhere/rune"
    assert typed("/x/rune/__main__.py") == f"{Path(sys.executable).name} -m rune"
    monkeypatch.setenv("PATH", str(script.parent))
    assert typed(str(script)) == "rune"


def test_wrong_usage_points_to_the_help_or_the_fix(capsys: pytest.CaptureFixture[str]) -> None:
    screen.misuse(click.UsageError("Bad thing."))
    screen.misuse(screen.Misuse("Bad thing.", "do this"))
    assert capsys.readouterr().err == "rune: bad thing\n  fix: rune --help\nrune: bad thing\n  fix: do this\n"


def test_the_closest_word() -> None:
    assert screen.closest("serv", ["serve", "tool"]) == "serve"
    assert screen.closest("zzz", ["serve", "tool"]) is None


def test_first_lines() -> None:
    assert [screen.first_line(text) for text in (None, 1, "", " a \nb", "\n\nx")] == ["", "", "", "a ", "x"]


def test_a_result_without_content_shows_its_values(piped: io.StringIO) -> None:
    tools.show_content(ToolResult(Result.of({"content": [], "structuredContent": {"a": 1}})))
    tools.show_content(ToolResult(Result.of({"content": []})))
    assert piped.getvalue() == '{"a":1}\n'
