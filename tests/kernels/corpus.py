"""The labelled texts of `labelled.py`, written where Faker and python-stdnum are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.peers import program, python_venv

SEED = 20260728
Labelled = tuple[str, list[tuple[int, int, str]]]


def labelled(count: int, seed: int = SEED) -> list[Labelled]:
    """So many texts, each with the start, end and kind of all that is to be found in it."""
    folder = python_venv("pii-corpus", "Faker==40.54.0", "python-stdnum==2.2")
    rows = run(folder, str(Path(__file__).with_name("labelled.py")), str(seed), str(count))
    return [(row["text"], [tuple(entity) for entity in row["entities"]]) for row in rows]


def run(folder: Path, *words: str, given: str = "") -> list[dict]:
    """The lines of JSON that the Python of an environment prints."""
    command = [program(folder, "python"), *words]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
