"""`rune wasm build`: what each toolchain makes of a file, and what is said when one is missing or refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rune.errors import ConfigError
from rune.sources.wasm.build import COMPONENT, build
from tests import guests
from tests.rig import ROOT
from tests.sizes import LONG

EXAMPLES = ROOT / "examples" / "wasm"
BAD = {
    "bad.py": ("def f(:\n", "SyntaxError"),
    "bad.js": ("export const tools = {;\n", "bad.js: componentize-qjs failed"),
    "bad.c": ("int f(void) { return nothing; }\n", "use of undeclared identifier 'nothing'"),
}


def wit(path: Path) -> str:
    """What a component imports and exports, by wasm-tools."""
    program = guests.toolchain(".c") / "wasm-tools"
    done = subprocess.run([program, "component", "wit", path], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


# The quick size builds Python in other tests.
@pytest.mark.parametrize("name", ["dice.js", "words.c", "units.py"] if LONG else ["dice.js", "words.c"])
def test_one_command_makes_a_component_of_an_example(name: str) -> None:
    made = guests.component(EXAMPLES / name)
    assert made.read_bytes()[:8] == COMPONENT
    found = wit(made)
    offers = ("tools",) if name == "words.c" else ("server", "tools", "resources", "prompts", "completions")
    for interface in offers:
        assert f"export rune:guest/{interface}@0.1.0;" in found
    assert "import rune:guest/http" not in found
    # C needs nothing of the system; an interpreter brings clocks and files, which the host hands out or not.
    assert ("import wasi:" in found) is (name != "words.c")


@pytest.mark.parametrize("name", BAD if LONG else ["bad.js", "bad.c"])
def test_a_file_with_a_mistake_is_refused_in_the_words_of_its_toolchain(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    source = tmp_path / name
    source.write_text(text)
    done = guests.build(source)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 5
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_mistake_leaves_the_component_of_before_alone(tmp_path: Path) -> None:
    source, out = tmp_path / "bad.c", tmp_path / "good.wasm"
    source.write_text(BAD["bad.c"][0])
    out.write_bytes(b"before")
    assert guests.build(source, "-o", str(out)).returncode == 1
    assert out.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("name", "program", "install"),
    [
        ("app.py", "componentize-py", "pip install componentize-py"),
        ("app.js", "componentize-qjs", "npm install componentize-qjs"),
        ("app.c", "wasm-tools", "pip install ziglang"),
    ],
)
def test_a_missing_toolchain_is_named_with_the_command_that_installs_it(
    name: str, program: str, install: str, tmp_path: Path
) -> None:
    source = tmp_path / name
    source.write_text("")
    done = guests.build(source, "--json", suffixes=())
    assert done.returncode == 1
    error = json.loads(done.stdout or done.stderr)["error"]
    assert program in error["message"] and install in error["hint"]
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_c_library_is_there_for_who_includes_it(tmp_path: Path) -> None:
    if not LONG:
        pytest.skip("zig builds its C library the first time: RUNE_LONG=1")
    source = tmp_path / "app.c"
    text = '#include "rune.h"\n#include <math.h>\n#include <string.h>\n'
    text += 'static void f(rune_call *call) { rune_answer_integer(call, strlen("four") + (long)sqrt(16.0)); }\n'
    text += 'RUNE_TOOLS({"f", "Eight.", "{\\"type\\":\\"object\\"}", f},)\n'
    source.write_text(text)
    done = guests.build(source)
    assert done.returncode == 0, done.stderr
    assert "export rune:guest/tools@0.1.0;" in wit(tmp_path / "app.wasm")
    source.write_text(text.replace("<math.h>", "<stdio.h>").replace("(long)sqrt(16.0)", 'printf("x")'))
    done = guests.build(source)
    assert done.returncode == 1
    assert (
        "app.c: what it uses of the C library asks the system for fd_close, fd_fdstat_get, fd_seek, fd_write"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("app.rb", "app.rb: cannot be built", "sources end in .py, .js, .mjs, .c"),
        ("gone.py", "gone.py: No such file", None),
    ],
)
def test_what_cannot_be_built_is_said(name: str, said: str, hint: str | None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(tmp_path / name)
    assert said in caught.value.message and caught.value.hint == hint


def test_a_name_that_python_cannot_import_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "2-units.py"
    source.write_text("from rune import Server\n")
    (tmp_path / "componentize-py").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "componentize-py").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        build(source)
    assert caught.value.hint == "call it _2_units.py"


@pytest.mark.parametrize(
    ("name", "text", "world"),
    [
        ("a.py", "from rune import Server\n", "full-server"),
        ("a.py", "class Tools(exports.Tools): pass\n", "tool-server"),
        ("a.py", "class Handlers(exports.Handlers): pass\n", "mcp-server"),
        ("a.py", "from wit_world.imports import host, http\nclass Tools(exports.Tools): pass\n", "tool-server-http"),
    ],
)
def test_the_words_of_a_source_tell_its_world(
    name: str, text: str, world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / name
    source.write_text(text)
    # A toolchain that writes down how it was called, and leaves the head of a component.
    program = tmp_path / "componentize-py"
    program.write_text(
        '#!/bin/sh\necho "$@" > "$(dirname "$0")/called"\n'
        'while [ "$1" != -o ]; do shift; done\nprintf "\\0asm\\015\\0\\001\\0" > "$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    built = build(source)
    assert built.world == world
    assert f"-w {world} " in (tmp_path / "called").read_text()
    assert (tmp_path / "a.wasm").read_bytes() == COMPONENT
