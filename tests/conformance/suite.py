"""The official MCP conformance suite: installed once, run against a server or a client, and read strictly.

A scored scenario in which no check ran counts as failed, though the suite itself gives it a tick. By hand:

    python -m tests.conformance.suite server http://localhost:7331/mcp [REVISION | all]...
    python -m tests.conformance.suite client "COMMAND" [REVISION]...      the URL becomes its last argument
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.peers import npm

VERSION: Final = "0.2.0-alpha.12"
REVISIONS: Final = ("2026-07-28", "2025-11-25")
"""Those with a frozen set of scored scenarios."""
ALL: Final = "all"
PATIENCE: Final = {"server": 60_000, "client": 60_000}
"""Milliseconds that a scenario may take. All scenarios of a client start at once, so theirs are slower."""
TIMEOUT: Final = 300

_LINE: Final = re.compile(r"^[✓✗] (?P<name>\S+): (?P<passed>\d+) passed, (?P<failed>\d+) failed\b")
_TOTAL: Final = re.compile(r"^Total: (?P<passed>\d+) passed, (?P<failed>\d+) failed\b")
_FOLDER: Final = re.compile(r"^(?:server-)?(?P<name>.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of the suite found."""

    label: str
    scenarios: dict[str, tuple[int, int]]
    """Passed and failed checks of each scenario."""
    scored: tuple[str, ...]
    failures: tuple[str, ...]
    """Each failed check, with its message."""

    @property
    def passed(self) -> int:
        return sum(passed for passed, _ in self.scenarios.values())

    @property
    def failed(self) -> int:
        return sum(failed for _, failed in self.scenarios.values())

    @property
    def good(self) -> tuple[str, ...]:
        """The scored scenarios that ran checks, all of them passed."""
        results = ((name, self.scenarios.get(name, (0, 0))) for name in self.scored)
        return tuple(name for name, (passed, failed) in results if passed and not failed)

    def __str__(self) -> str:
        """One line, then what is not as it should be."""
        checks = f"{self.passed} passed, {self.failed} failed checks"
        lines = [f"{self.label}: {checks}; scored {len(self.good)}/{len(self.scored)} scenarios"]
        silent = [name for name in self.scored if self.scenarios.get(name, (0, 0)) == (0, 0)]
        lines += [f"  {name}: no check ran" for name in silent]
        lines += [f"  {failure}" for failure in self.failures]
        return "\n".join(lines)


def run(kind: str, target: str, label: str) -> Report:
    """Run the scenarios of a revision, or ALL of them, against the `server` at a URL or with the `client` command.

    Raises:
        RuntimeError: when the suite itself could not run to its end.
    """
    scored = () if label == ALL else required(kind, label)
    which = ["--requirements", label] if scored else ["--suite", "all"]
    if label != ALL and not scored:  # a revision without a frozen set: every scenario of it is scored
        which += ["--spec-version", label]
    with tempfile.TemporaryDirectory() as out:
        place = ("--url", _local(target)) if kind == "server" else ("--command", target)
        text = _suite(kind, *place, "--timeout", str(PATIENCE[kind]), "-o", out, *which)
        scenarios = summary(text)
        failures = tuple(_failures(Path(out)))
    if label != ALL and not scored:
        scored = tuple(scenarios)
    return Report(label, scenarios, scored, failures)


def required(kind: str, revision: str) -> tuple[str, ...]:
    """The scored scenarios of a revision, none when the suite has no frozen set for it."""
    names = []
    section = ""
    for line in _suite("list", "--requirements", revision).splitlines():
        if line and not line.startswith(" "):
            section = line.split()[0].lower()
        elif section == kind and line.startswith("  - "):
            names.append(line[4:].split()[0])
    return tuple(names)


def summary(text: str) -> dict[str, tuple[int, int]]:
    """Passed and failed checks of each scenario, from what the suite prints at its end.

    Raises:
        RuntimeError: when there is no summary, or its parts do not add up.
    """
    found: dict[str, tuple[int, int]] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line.endswith("SUMMARY ==="):
            break
    for line in lines:
        if match := _LINE.match(line):
            found[match["name"]] = int(match["passed"]), int(match["failed"])
        elif match := _TOTAL.match(line):
            total = int(match["passed"]), int(match["failed"])
            if total != (sum(each[0] for each in found.values()), sum(each[1] for each in found.values())):
                raise RuntimeError(f"the summary of the suite does not add up to its total: {line}")
            return found
    raise RuntimeError(f"the suite ended without a summary:\n{text[-4000:]}")


def _failures(out: Path) -> Iterator[str]:
    for path in sorted(out.rglob("checks.json")):
        folder = str(path.parent.relative_to(out))
        match = _FOLDER.match(folder)
        checks: list[dict[str, Any]] = json.loads(path.read_text())
        for check in checks:
            if check["status"] == "FAILURE":
                message = check.get("errorMessage") or check.get("description")
                details = json.dumps(check["details"])[:600] if check.get("details") else ""
                yield f"{match['name'] if match else folder}: {check['id']}: {message} {details}".rstrip()


def _suite(*words: str) -> str:
    """What the suite prints. Its exit status only says whether scored scenarios failed, which we find out ourselves."""
    folder = npm("conformance", f"@modelcontextprotocol/conformance@{VERSION}")
    program = folder / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [node(), str(program), *words]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(
            f"the suite ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout + done.stderr


def node() -> str:
    """Node 22, which the suite and the inspector need; from npm, so that no system package is needed."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"node-{platform.system().lower()}-{machine}"
    return str(npm("node-22", f"{name}@22") / "node_modules" / name / "bin" / "node")


def _local(url: str) -> str:
    """The rebinding scenario accepts only the host name localhost."""
    return url.replace("//127.0.0.1", "//localhost", 1)


def main(words: Sequence[str]) -> int:
    """0 when every scored scenario passed, 1 when not, 2 for wrong usage."""
    if len(words) < 2 or words[0] not in PATIENCE:
        print(__doc__, file=sys.stderr)
        return 2
    kind, target, *labels = words
    clean = True
    for label in labels or REVISIONS:
        report = run(kind, target, label)
        print(report)
        clean = clean and len(report.good) == len(report.scored)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
