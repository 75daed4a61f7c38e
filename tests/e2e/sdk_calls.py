"""One call by the official SDK's client, run with the interpreter of its own environment.

`sdk_calls.py MODE TARGET NAME ARGUMENTS`: the target is a URL or a command in JSON. What it saw leaves as JSON.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


async def visit(mode: str, target: str, name: str, arguments: str) -> None:
    words = [] if "://" in target else json.loads(target)
    server = StdioServerParameters(command=words[0], args=words[1:]) if words else target
    async with Client(server, mode=mode, read_timeout_seconds=60) as client:
        # A server behind the gateway that starts slowly is listed as soon as it is there.
        while name not in (tools := [tool.name for tool in (await client.list_tools()).tools]):
            await asyncio.sleep(0.1)
        result = await client.call_tool(name, json.loads(arguments))
        seen = {
            "tools": tools,
            "error": bool(result.is_error),
            "text": [getattr(block, "text", None) for block in result.content],
            "structured": result.structured_content,
        }
    print(json.dumps(seen))


asyncio.run(visit(*sys.argv[1:]))
