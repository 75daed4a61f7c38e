"""`python -m bench.kernels` runs and judges its figures rightly. Nothing here depends on time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.kernels import YARD_NS, YARDSTICK, Rate, Row, Times, Within, scaled
from bench.kernels.__main__ import verdict
from tests.serving import ROOT
from tests.sizes import LONG

DEADLINE = 300


def test_a_quick_run(tmp_path: Path) -> None:
    page = tmp_path / "kernels.md"
    page.write_text("kept\n")
    groups = () if LONG else ("pii",)  # the others bring half a dozen peers that are installed first
    command = [sys.executable, "-m", "bench.kernels", *groups, "--quick", "--output", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text()
    assert text.startswith("kept\n")
    assert "A quick run" in text
    assert "prose 1 kB, 5% PII" in text


def test_targets() -> None:
    row = Row("a text", {"ours": str, "peer": str, "twin": str}, size=1000)
    ns = {"ours": 100.0, "peer": 900.0, "twin": 450.0}
    assert Rate(10).met(row, ns)
    assert not Rate(10.1).met(row, ns)
    assert Rate(10).measured(row, ns) == "10 GB/s"
    assert Within(100).met(row, ns)
    assert not Within(99).met(row, ns)
    assert Times(9, "peer").met(row, ns)
    assert not Times(9.1, "peer").met(row, ns)
    assert Times(2, "peer", "twin").met(row, ns)
    assert not Times(2.1, "peer", "twin").met(row, ns)


def test_a_slower_machine_is_judged_by_the_yardstick() -> None:
    row = Row("a text", {"ours": str}, size=1000)
    ns = {"ours": 100.0, YARDSTICK: 2 * YARD_NS}
    assert scaled(ns)["ours"] == 50
    assert scaled({"ours": 100.0}) == {"ours": 100.0}
    assert verdict(row, Rate(10), ns) == ["a text", "10 GB/s", "20 GB/s", ">= 10 GB/s", "yes"]
    assert verdict(row, Rate(20), ns)[-1] == "there"
    assert verdict(row, Rate(20.1), ns)[-1] == "NO"
