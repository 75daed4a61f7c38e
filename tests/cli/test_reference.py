"""docs/reference is what docs/generate.py makes of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", ["cli.md", "config.md"])
def test_the_reference_is_up_to_date(tmp_path: Path, name: str) -> None:
    subprocess.run([sys.executable, str(DOCS / "generate.py"), str(tmp_path)], check=True, timeout=30)
    made, kept = (tmp_path / name).read_text(), (DOCS / "reference" / name).read_text()
    assert made == kept, "run make docs"
