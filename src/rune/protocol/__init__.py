"""The wire of MCP, pure: no I/O, no asyncio, no state, no cryptography."""
