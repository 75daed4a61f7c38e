"""The official conformance suite against our fixture server, as `rune serve` runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.serving import rune

CLIENT = Path(__file__).with_name("client.py")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with rune("tests/conformance/everything.py") as server:
        yield server.url


@pytest.mark.parametrize(("revision", "scenarios", "checks"), [("2026-07-28", 37, 196), ("2025-11-25", 30, 84)])
def test_every_required_scenario_passes(url: str, revision: str, scenarios: int, checks: int) -> None:
    report = suite.run("server", url, revision)
    assert report.failed == 0, str(report)
    assert len(report.scored) == scenarios
    assert report.good == report.scored, str(report)
    # A feature that is not offered is skipped by the suite, so the number of checks that passed counts too.
    assert report.passed >= checks, str(report)


def test_nothing_fails_in_the_whole_suite(url: str) -> None:
    report = suite.run("server", url, suite.ALL)
    assert report.failed == 0, str(report)
    assert report.passed > 196, str(report)


@pytest.mark.parametrize(("revision", "scenarios", "checks"), [("2026-07-28", 32, 464), ("2025-11-25", 18, 307)])
def test_our_client_passes_every_required_scenario(
    revision: str, scenarios: int, checks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The vault and the keyring of whoever runs the tests stay out of it.
    monkeypatch.setenv("RUNE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    report = suite.run("client", f"{sys.executable} {CLIENT}", revision)
    assert report.failed == 0, str(report)
    assert len(report.scored) == scenarios
    assert report.good == report.scored, str(report)
    assert report.passed >= checks, str(report)


SUMMARY = """Results saved to out
=== SUMMARY ===
✓ tools-list: 3 passed, 0 failed
✓ ping: 0 passed, 0 failed
✗ auth/basic-cimd: 1 passed, 1 failed

Total: 4 passed, 1 failed

Not scored for 2026-07-28: 1 scenario(s) run, 1 failing.
  ✗ json-schema-2020-12 (pending)
"""


def test_a_scored_scenario_without_a_check_has_not_passed() -> None:
    scenarios = suite.summary(SUMMARY)
    assert scenarios == {"tools-list": (3, 0), "ping": (0, 0), "auth/basic-cimd": (1, 1)}
    report = suite.Report("2026-07-28", scenarios, ("tools-list", "ping", "auth/basic-cimd", "gone"), ("what failed",))
    assert report.good == ("tools-list",)
    assert str(report).splitlines() == [
        "2026-07-28: 4 passed, 1 failed checks; scored 1/4 scenarios",
        "  ping: no check ran",
        "  gone: no check ran",
        "  what failed",
    ]


def test_the_summary_of_a_client_run_is_read_too() -> None:
    text = SUMMARY.replace("=== SUMMARY", "=== SUITE SUMMARY").replace(
        "Total: 4 passed, 1 failed", "Total: 4 passed, 1 failed, 2 warnings"
    )
    assert suite.summary(text) == suite.summary(SUMMARY)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "without a summary"),
        (SUMMARY.replace("Total: 4", "Total: 5"), "does not add up"),
        (SUMMARY[:60], "without"),
    ],
)
def test_a_run_that_did_not_end_well_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(RuntimeError, match=problem):
        suite.summary(text)
