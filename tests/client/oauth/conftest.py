"""Nothing here looks for a key in the keyring of the system."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def alone(no_keyring: None) -> None:
    """All vaults of these tests have a key in a file."""
