"""An MCP server as a source: connections, last catalog and what it announces, one file for each."""
