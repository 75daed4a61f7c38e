"""Which kernels run: RUNE_NATIVE, and wheels that are missing, broken or of another version."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rune import native
from rune.errors import ConfigError
from rune.plugins.pii import PiiFilter

ASK = "from rune.plugins.pii import PiiFilter; print(PiiFilter().implementation)"


def run(folder, mode=None, code=ASK):
    """A new interpreter in which `rune_native` is what lies in a folder."""
    environ = {"PYTHONPATH": str(folder), **({} if mode is None else {"RUNE_NATIVE": mode})}
    head = "import logging; logging.basicConfig(); "
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )


@pytest.fixture
def wheel(tmp_path):
    """A stand-in for the wheel, with this content."""

    def write(text):
        (tmp_path / "rune_native.py").write_text(text)
        return tmp_path

    return write


def test_off_runs_python_whatever_is_installed(tmp_path):
    done = run(tmp_path, "off")
    assert (done.stdout, done.stderr) == ("python\n", "")


def test_a_broken_wheel_is_an_error_in_the_log_and_python_runs(wheel):
    done = run(wheel("raise ImportError('undefined symbol: x')"))
    assert done.stdout == "python\n"
    assert "ERROR:rune.native:native kernels: rune_native is broken: undefined symbol: x; Python runs" in done.stderr


def test_a_wheel_that_misses_something_is_not_a_missing_wheel(wheel):
    done = run(wheel("import a_module_that_nobody_has"))
    assert done.stdout == "python\n"
    assert "a_module_that_nobody_has" in done.stderr


def test_a_wheel_of_another_version_is_not_used(wheel):
    done = run(wheel("ABI = 0"))
    assert done.stdout == "python\n"
    assert f"speaks version 0, this is version {native.ABI}: install the two together" in done.stderr


def test_require_refuses_to_run_without(wheel):
    done = run(wheel("ABI = 0"), "require")
    assert done.returncode == 1
    assert "ConfigError: native kernels: rune_native speaks version 0" in done.stderr


def test_rust_that_is_asked_for_by_name_must_be_there(wheel):
    done = run(wheel("ABI = 0"), code="from rune.plugins.pii import PiiFilter; PiiFilter(implementation='rust')")
    assert "ConfigError: native kernels" in done.stderr


def test_an_unknown_mode_is_an_error(monkeypatch):
    monkeypatch.setenv("RUNE_NATIVE", "maybe")
    with pytest.raises(ConfigError, match="RUNE_NATIVE: 'maybe' is unknown"):
        native.choose()


@pytest.mark.parametrize("implementation", ["python", "auto"])
def test_an_unknown_kind_is_an_error_that_names_the_known_ones(implementation):
    with pytest.raises(ConfigError, match="unknown kind: passport") as caught:
        PiiFilter(implementation=implementation, kinds=["email", "passport"])
    assert "email" in str(caught.value.hint)
