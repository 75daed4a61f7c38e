"""What Rune is told to do: `rune.toml`, `mcp.json` and TARGETs become one strict Config."""
