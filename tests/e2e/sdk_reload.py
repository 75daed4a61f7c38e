"""A visit of the official SDK's client over a reload, run with the interpreter of its own environment.

`sdk_reload.py MODE URL`: it says when it is asked, waits for a line, answers, and tells what it found then.
"""

import asyncio
import json
import sys

from mcp import Client, types


def say(**seen):
    print(json.dumps(seen), flush=True)


async def elicited(context, params):
    say(asked=params.message)
    await asyncio.to_thread(sys.stdin.readline)
    return types.ElicitResult(action="accept", content={"value": "carl"})


def text(result):
    return "".join(block.text for block in result.content)


async def visit(mode, url):
    async with Client(url, mode=mode, read_timeout_seconds=30, elicitation_callback=elicited) as client:
        answer = text(await client.call_tool("one_ask", {}))
        after = [text(await client.call_tool(name, {})) for name in ("two_said", "one_said")]
        say(text=answer, after=after, tools=len((await client.list_tools()).tools))


asyncio.run(visit(sys.argv[1], sys.argv[2]))
