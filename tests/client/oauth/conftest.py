"""The keyring of whoever runs the tests stays out of them."""

from __future__ import annotations

import keyring
import pytest
from keyring.backends import fail


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
