"""The official SDK's client under remote control, run with the interpreter of its own environment.

`sdk_visitor.py MODE URL`: each line of stdin is `{"id": …, "do": METHOD, "with": {…}}`, a method of the client and its
arguments; they run at the same time. What comes of each leaves as one line of JSON.
"""

import asyncio
import json
import sys

from mcp import Client


async def act(client: Client, order: dict) -> None:
    try:
        result = await getattr(client, order["do"])(**order["with"])
        answer = {"value": result.model_dump(mode="json", by_alias=True, exclude_none=True)}
    except Exception as error:  # noqa: BLE001 (whatever it is, the test wants to see it)
        answer = {"error": str(error), "kind": type(error).__name__}
    print(json.dumps({"id": order["id"], **answer}), flush=True)


async def main(mode: str, url: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Client(url, mode=mode, read_timeout_seconds=60) as client, asyncio.TaskGroup() as group:
        print(json.dumps({"id": 0, "value": {"version": client.protocol_version}}), flush=True)
        async for line in reader:
            group.create_task(act(client, json.loads(line)))


asyncio.run(main(sys.argv[1], sys.argv[2]))
