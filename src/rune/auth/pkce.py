"""What makes an authorization code useless to others: PKCE with S256 (RFC 7636), and the state of one sign-in."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

METHOD: Final = "S256"


class Pkce:
    """The secrets of one sign-in, forgotten after it."""

    __slots__ = ("state", "verifier")

    def __init__(self) -> None:
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(24)

    @property
    def challenge(self) -> str:
        """What may be seen by everybody on the way to the browser."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def mine(self, state: str | None) -> bool:
        """Whether an answer belongs to this sign-in."""
        return state is not None and secrets.compare_digest(state.encode(), self.state.encode())
