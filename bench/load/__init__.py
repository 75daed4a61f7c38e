"""A load generator for MCP servers that checks every answer: `python -m bench.load --help`. Linux only (/proc)."""
