"""`python -m bench` runs, checks its answers, and judges its figures rightly. Nothing here depends on time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.contenders import BARE, LEAN, OFFICIAL, OURS, RUNE_HTTP
from bench.lines import LINES, REFERENCE_US, AtMost, Line, Times
from bench.measures import Effort, HttpLoad
from bench.report import Outcome, markdown
from tests.serving import ROOT
from tests.sizes import LONG

DEADLINE = 240


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_a_quick_run_of_each_kind_of_line(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    before = (ROOT / "bench" / "RESULTS.md").read_bytes() if (ROOT / "bench" / "RESULTS.md").exists() else None
    lines = ["call-legacy", "pipelined-modern", "idle", "plugins"]
    if LONG:
        lines += ["list", "listen", "hop-stdio"]
    done = bench("--quick", *lines, "--output", str(page))
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert "A quick run" in text
    for name in lines:
        assert LINES[name].title in text
        assert f"{name}: " in done.stdout
    after = (ROOT / "bench" / "RESULTS.md").read_bytes() if (ROOT / "bench" / "RESULTS.md").exists() else None
    assert before == after


def test_a_line_that_does_not_exist_is_wrong_usage() -> None:
    done = bench("call-moder")
    assert done.returncode == 2
    assert "call-modern" in done.stderr


def test_targets() -> None:
    medians = {OURS: 30.0, OFFICIAL: 180.0, LEAN: 2 * REFERENCE_US}
    assert Times(6).met(medians)
    assert not Times(6.1).met(medians)
    assert Times(6).measured(medians) == "6.0x"
    assert AtMost(30, "us").met(medians)
    assert not AtMost(29, "us").met(medians)
    # A machine on which the yardstick takes twice as long may take twice as long.
    assert AtMost(15, "us", LEAN).met(medians)
    assert not AtMost(14.9, "us", LEAN).met(medians)


@pytest.mark.parametrize(("official", "failed"), [(600, False), (599, True)])
def test_only_a_missed_ratio_fails_a_run(official: float, failed: bool) -> None:
    line = Line("calls", "us", HttpLoad("modern"), (RUNE_HTTP,), (Times(6), AtMost(1, "us")))
    ours = [{"cpu_us": value} for value in (100, 90, 5000)]
    outcome = Outcome(line, {OURS: ours, OFFICIAL: [{"cpu_us": official}]})
    assert outcome.medians == {OURS: 100, OFFICIAL: official}
    assert outcome.failed is failed
    assert [row[3] for row in outcome.targets()] == ["NO" if failed else "yes", "NO"]
    page = markdown([outcome], Effort(), quick=False)
    assert "A quick run" not in page
    assert page.count("| calls") == 4


def test_every_line_compares_ours_with_what_its_targets_name() -> None:
    for name, line in LINES.items():
        names = [contender.name for contender in line.contenders]
        assert names[0].startswith(OURS)
        assert len(names) == len(set(names)) > 1
        for target in line.targets:
            assert target.ours == names[0] or (target.ours in names and name.startswith("wasm"))
            assert not isinstance(target, Times) or target.peer in names
            assert not isinstance(target, AtMost) or not target.yardstick or target.yardstick in names
    assert BARE in [contender.name for contender in LINES["import"].contenders]
