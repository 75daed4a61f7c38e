"""Servers of 2025-11-25 and earlier: the handshake, the session and what they ask in the middle of a call."""
