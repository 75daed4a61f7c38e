"""One visit of the official SDK's client, run with the interpreter of its own environment.

`sdk_client.py MODE TEXT URL` or `sdk_client.py MODE TEXT COMMAND ARGUMENT...`; what it saw leaves as JSON.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


async def visit(mode: str, text: str, target: list[str]) -> None:
    server = target[0] if len(target) == 1 else StdioServerParameters(command=target[0], args=target[1:])
    async with Client(server, mode=mode, read_timeout_seconds=20) as client:
        tools = await client.list_tools()
        result = await client.call_tool("echo", {"text": text})
        seen = {
            "version": client.protocol_version,
            "tools": [tool.name for tool in tools.tools],
            "error": bool(result.is_error),
            "text": [getattr(block, "text", None) for block in result.content],
        }
    print(json.dumps(seen))


asyncio.run(visit(sys.argv[1], sys.argv[2], sys.argv[3:]))
