"""Servers of 2025-03-26 are their own authorization servers, at fixed paths where they publish no metadata."""

from __future__ import annotations

from typing import Any


def default_endpoints(base: str) -> dict[str, Any]:
    """What stands in for the metadata of such a server (2025-03-26, authorization, fallbacks)."""
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "registration_endpoint": f"{base}/register",
    }
