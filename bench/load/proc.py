"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PROC = Path("/proc")


def family(pids: Iterable[int]) -> set[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            stat = _read(folder / "stat")
            if stat:
                # The command name stands in brackets and may hold anything; the parent follows the last bracket.
                parent = int(stat[stat.rindex(")") + 2 :].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads of the processes and their descendants, from nanosecond counters."""
    lines = (_read(task / "schedstat") for task in _tasks(family(pids)))
    return sum(int(line.split()[0]) for line in lines if line) / 1e9


def rss_kb(pids: Iterable[int]) -> int:
    """Resident memory of the processes and their descendants."""
    total = 0
    for pid in family(pids):
        for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))]


def _tasks(pids: Iterable[int]) -> Iterator[Path]:
    for pid in pids:
        try:
            yield from (PROC / str(pid) / "task").iterdir()
        except FileNotFoundError:  # it has just ended
            continue


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return ""
