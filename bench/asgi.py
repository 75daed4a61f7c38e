"""`bench/echo.py` as the plain ASGI app that mounts anywhere, under uvicorn as it comes. Argument: the port."""

from __future__ import annotations

import asyncio
import sys

import uvicorn
import uvloop

from bench.echo import server
from rune.app.http import asgi
from rune.gateway import Gateway
from rune.view import Mount


async def main(port: int) -> None:
    """Serve until a signal comes."""
    async with Gateway([Mount(server)]) as gateway:
        config = uvicorn.Config(
            asgi(gateway),
            port=port,
            http="httptools",
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
