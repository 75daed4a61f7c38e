"""Checks come in two sizes of the same code: `make test`, and `make long` with all that there is to see."""

from __future__ import annotations

import os
from typing import Final

LONG: Final = os.environ.get("RUNE_LONG") == "1"
