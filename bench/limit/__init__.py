"""What the machine can do at best: one lean MCP core behind three transports. A yardstick, not servers to use."""
