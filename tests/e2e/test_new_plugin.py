"""`rune new plugin` as its user lives it: from the wheel of Rune, through the Makefile of the package, into a gateway
that answers a client of others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import cache, plugin_builders, program, sdk
from tests.rig import ROOT, rig
from tests.sizes import LONG

NAME = "hide-numbers"
TOOLS = """
from rune import Server

server = Server("notes")


@server.tool
async def echo(text: str) -> str:
    return f"{text} is that of customer 4711081500, room 12"
"""
SAID = "card 123456"
HIDDEN = "card ###### is that of customer ##########, room 12"
CARGO = shutil.which("cargo") is not None


@dataclass(frozen=True)
class Home:
    """An environment with the wheel of Rune, and a package that was begun in it."""

    environment: Path
    package: Path
    flavour: str

    def run(self, *command: str, check: bool = True, **environ: str) -> str:
        """What a command prints, in the folder of the package."""
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # A make that runs these tests is not the one that runs there.
        around = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            command, cwd=self.package, env={**around, **settings(), "PATH": path, **environ}, timeout=900,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    @property
    def built(self) -> bool:
        """Whether its native half can be built here."""
        return self.flavour == "rust" and CARGO

    @property
    def rune(self) -> str:
        return str(self.environment / "bin" / "rune")


def settings() -> dict[str, str]:
    """What is built and checked once is kept for the next run; nothing is fetched to build with."""
    kept = cache()
    return {
        "CARGO_TARGET_DIR": str(kept / "plugin-target"),
        # A release takes the time to be fast; what is built here only has to be right.
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1",
        "MYPY_CACHE_DIR": str(kept / "plugin-mypy"),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # Borrowed with the tools of Rune, and not what the package asks for.
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:xdist",
        "RUNE_NATIVE": "auto",
    }


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel of this tree; the packages around it are borrowed."""
    folder = tmp_path_factory.mktemp("environment")
    builders = plugin_builders()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheel = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder / "wheels"), str(ROOT)]
    subprocess.run([*pip, "--python", program(builders, "python"), *wheel], check=True, timeout=300)
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=300)
    below = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (home / below / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{builders / below}\n")
    made = [str(path) for path in (folder / "wheels").glob("rune_mcp-*.whl")]
    install = ["--python", str(home / "bin" / "python"), "install", "-q", "--no-deps", "--force-reinstall", *made]
    subprocess.run([*pip, *install], check=True, timeout=300)
    return home


@pytest.fixture(scope="module", params=["python", "rust"])
def home(request: pytest.FixtureRequest, environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--rust"] if request.param == "rust" else []
    command = [str(environment / "bin" / "rune"), "new", "plugin", NAME, *options]
    made = subprocess.run(command, cwd=folder, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    assert made.stdout == f"{NAME}\n"
    (folder / "tools.py").write_text(TOOLS)
    found = Home(environment, folder / NAME, request.param)
    yield found
    found.run("python", "-m", "pip", "uninstall", "-q", "-y", NAME)
    if found.built:
        found.run("cargo", "clean", "-q", "-p", NAME)
        found.run("cargo", "clean", "-q", "-p", NAME, "--release")


def answer(url: str) -> list[str]:
    """What the official SDK is told when it calls echo."""
    visit = [program(sdk(), "python"), str(ROOT / "tests/e2e/sdk_client.py"), "auto", SAID, url]
    done = subprocess.run(visit, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    text: list[str] = json.loads(done.stdout)["text"]
    return text


def config(home: Home) -> str:
    """A gateway that names the plugin by its entry point."""
    path = home.package.parent / "rune.toml"
    path.write_text('[sources.notes]\npython = "tools.py"\nprefix = ""\n\n[[plugins]]\nuse = "hide_numbers"\n')
    return str(path)


def test_the_wheel_of_rune_is_what_runs(home: Home) -> None:
    place = home.run("python", "-c", "import rune; print(rune.__file__)")
    assert place.startswith(str(home.environment))


def test_a_checkout_runs_without_being_installed_or_built(home: Home) -> None:
    """`--plugins` finds the class beside the folder of the file; where nothing is built, the Python half runs."""
    if home.flavour == "python" and not LONG:
        pytest.skip("the same as with Rust, with RUNE_LONG=1")
    assert not list(home.package.rglob("*.so"))
    file = str(home.package / "plugins" / "config.yaml")
    with rig(str(home.package.parent / "tools.py"), "--plugins", file, environ={"RUNE_NATIVE": "auto"}) as server:
        assert answer(server.url) == [HIDDEN]
        assert "plugin HideNumbers: python, enforce, priority 50" in server.said


def test_develop_test_lint(home: Home) -> None:
    """In order: what these install and build is what the tests below run."""
    made = home.run("make", "develop")
    assert "Successfully installed hide-numbers-0.1.0" in made
    if home.flavour == "rust":
        assert made.endswith(f"hide-numbers runs in {'rust' if home.built else 'python'}\n")
    ran = home.run("make", "test")
    assert " passed" in ran
    assert "skipped" not in ran or not CARGO
    if LONG:
        # Clippy compiles all that it is built on once more.
        assert "no issues found" in home.run("make", "lint")


def test_it_is_measured(home: Home) -> None:
    if LONG:
        home.run("make", "bench")
        ran = home.run("make", "bench-compare")
    else:
        code = "import bench; bench.TEXTS = {'1 MB found': bench.FOUND * 18_000}; bench.main(False); bench.main(True)"
        ran = home.run("python", "-c", code)
    assert ran.splitlines()[-1].startswith("1 MB found")
    assert ran.endswith("x\n")


def test_a_gateway_finds_it_by_its_entry_point(home: Home) -> None:
    with rig("--config", config(home), program=home.rune, environ={"RUNE_NATIVE": "auto"}) as server:
        assert answer(server.url) == [HIDDEN]
        half = "rust" if home.built else "python"
        assert f"plugin hide_numbers: {half}, sequential, priority 100" in server.said


def test_a_native_half_that_is_broken_is_reported(home: Home) -> None:
    if not home.built:
        pytest.skip("has no native half here")
    (native,) = home.package.glob("hide_numbers/_native*.so")
    whole = native.read_bytes()
    ask = [home.rune, "plugins", "list", "--config", config(home)]
    assert "\tpython\t" in home.run(*ask, RUNE_NATIVE="off")
    assert "\trust\t" in home.run(*ask, RUNE_NATIVE="require")
    # Another file: the one that is mapped somewhere must not change below it.
    native.unlink()
    native.write_bytes(b"\x7fELF, or rather not")
    try:
        said = home.run(*ask)
        assert "hide_numbers._native: it is broken: " in said
        assert "\tpython\t" in said
        assert "it is broken" in home.run(*ask, check=False, RUNE_NATIVE="require")
    finally:
        native.unlink()
        native.write_bytes(whole)


def test_install_without_cargo_brings_the_python_half(home: Home) -> None:
    """Last: it takes the place of what `make develop` has installed."""
    if home.flavour == "python" and not LONG:
        pytest.skip("the same as with Rust, with RUNE_LONG=1")
    for path in home.package.glob("hide_numbers/_native*.so"):
        path.unlink()
    shutil.rmtree(home.package / "build", ignore_errors=True)
    tools = [shutil.which(name) for name in ("make", "bash", "sh", "cat")]
    path = home.package.parent / "bin"
    path.mkdir()
    for tool in tools:
        assert tool is not None
        (path / Path(tool).name).symlink_to(tool)
    made = home.run("make", "install", PATH=f"{home.environment / 'bin'}{os.pathsep}{path}")
    assert "Successfully installed hide-numbers-0.1.0" in made
    with rig("--config", config(home), program=home.rune, environ={"RUNE_NATIVE": "auto"}) as server:
        assert answer(server.url) == [HIDDEN]
        assert "plugin hide_numbers: python, " in server.said
