"""Revisions up to 2025-11-25 as shapes: both rims turn their messages into the 2026-07-28 dialect here, and back."""
