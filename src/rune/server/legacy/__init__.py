"""Clients of 2024-11-05 to 2025-11-25: sessions, streams that can be resumed, batches, HTTP+SSE and core tasks."""
